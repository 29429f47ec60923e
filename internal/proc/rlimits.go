//go:build unix

package proc

// rlimitKinds are the limits that each process has by itself, by their names.
var rlimitKinds = map[string]rlimitKind{
	"nofile":     {resource: rlimitNoFile, shell: "n", unit: 1},
	"nproc":      {resource: rlimitNProc, shell: "u", other: "p", unit: 1}, // dash and busybox have p, in bash that is another one
	"core":       {resource: rlimitCore, shell: "c", unit: 512},
	"cpu_time":   {resource: rlimitCPU, shell: "t", unit: 1},
	"fsize":      {resource: rlimitFSize, shell: "f", unit: 512},
	"stack":      {resource: rlimitStack, shell: "s", unit: 1024},
	"as":         {resource: rlimitAS, shell: "v", unit: 1024},
	"data":       {resource: rlimitData, shell: "d", unit: 1024},
	"memlock":    {resource: rlimitMemLock, shell: "l", unit: 1024},
	"sigpending": {resource: rlimitSigPending},
	"msgqueue":   {resource: rlimitMsgQueue},
	"rtprio":     {resource: rlimitRTPrio},
}

const mostRlimits = 16 // more than there are

type rlimitKind struct {
	resource int    // the system's number; negative: it has none
	shell    string // the letter that a shell's ulimit has for it; "": none
	other    string // that of other shells
	unit     uint64 // what ulimit counts in
}
