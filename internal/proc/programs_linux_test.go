package proc

func testPrograms() map[string]func(args []string) int {
	return map[string]func(args []string) int{
		"family":     family,
		"report":     report,
		"onterminal": onTerminal,
		"ignorer":    ignorer,
		"careless":   careless,
		"sleeper":    sleeper,
		"notifier":   notifier,
		"daemonizer": func([]string) int { return daemonizer(false) },
		"leaderizer": func([]string) int { return daemonizer(true) },
	}
}
