package proc

func scriptInterpreter(dir, name string) string { return "" }
