package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestAShellReadsExportedWordsAsTheyWereMeant(t *testing.T) {
	for word, want := range map[string]string{
		"plain":         "plain",
		"":              "",
		"two words":     "two words",
		`a"b\c` + "`d`": `a"b\c` + "`d`",
		"it's":          "it's",
		"$X":            "x  y", // what is replaced stays one word
		"${X}z":         "x  yz",
		"${NONE:-d}":    "d",
		"$$X":           "$X",
		"*;|&<>(){}~#!": "*;|&<>(){}~#!",
		"line\nend":     "line\nend",
	} {
		cmd := exec.Command("/bin/sh", "-c", "printf '[%s]' "+shellText(word))
		cmd.Env = []string{"X=x  y"}
		out, err := cmd.Output()
		if err != nil || string(out) != "["+want+"]" {
			t.Errorf("%q as %s: got %q, %v; want %q", word, shellText(word), out, err, want)
		}
	}
}

func TestUnitsHaveTheLimits(t *testing.T) {
	unit := serviceUnit(&gaffer.Template{
		Name: "web", Cmd: "web", Nice: new(-5), IOPrio: "best-effort:5", CPUAffinity: "0-3,6", Umask: "027", OOMScoreAdj: new(-500), MaxMemory: 1 << 30,
		Limits:  &gaffer.Limits{NoFile: "1024:65536", Core: "unlimited", Stack: "8MiB", CPUTime: "10m", Memory: 1 << 20, CPU: 1.5, Pids: 7},
		Sandbox: &gaffer.Sandbox{Capabilities: []string{"net_bind_service", "CAP_CHOWN"}, ReadPaths: []string{"/srv"}, PrivateTmp: true},
	}, 1, &exportedSockets{})
	for _, want := range []string{
		"LimitNOFILE=1024:65536", "LimitCORE=infinity", "LimitSTACK=8388608", "LimitCPU=600", "MemoryMax=1048576", "CPUQuota=150%", "TasksMax=7", "Nice=-5",
		"IOSchedulingClass=best-effort", "IOSchedulingPriority=5", "CPUAffinity=0-3,6", "UMask=027", "OOMScoreAdjust=-500", "NoNewPrivileges=yes",
		"CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_CHOWN", "AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_CHOWN", "PrivateTmp=yes",
		`# not in systemd: sandbox=read_paths ["/srv"], write_paths []`, "# not in systemd: max_memory=1GiB",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, unit)
		}
	}
	none := serviceUnit(&gaffer.Template{Name: "web", Cmd: "web", Sandbox: &gaffer.Sandbox{Capabilities: []string{}}}, 1, &exportedSockets{})
	if !strings.Contains(none, "CapabilityBoundingSet= \n") {
		t.Errorf("got\n%s", none)
	}
}

func TestUnitsProtectWhatSystemdWouldReplace(t *testing.T) {
	for _, c := range []struct {
		template gaffer.Template
		want     string
	}{
		{gaffer.Template{Cmd: "./web -p 80"}, `./web -p 80`},
		{gaffer.Template{Cmd: `./web '100% $X'`}, `./web "100%% $$X"`},
		{gaffer.Template{Cmd: "./web $PORT"}, `/bin/sh -c "exec ./web \"$$PORT\""`},
		{gaffer.Template{Cmd: "web", Args: gaffer.Args{"a b", ""}}, `web "a b" ""`},
		{gaffer.Template{Name: "x", Cmd: "echo a; echo b\n", Shell: true}, `/bin/sh -c "echo a; echo b\n" x`},
	} {
		if got := execStart(&c.template); got != c.want {
			t.Errorf("%q: got %s, want %s", c.template.Cmd, got, c.want)
		}
	}
	timed := systemdUnits([]gaffer.Template{{
		Name: "report", Cmd: "report", MaxRuntime: gaffer.Duration(time.Hour), SuccessExitCodes: []int{0, 3},
		Schedule: &gaffer.Schedule{Cron: "0 3 * * mon", Timezone: "Europe/Paris", Jitter: gaffer.Duration(time.Minute)},
	}})
	if len(timed) != 3 || timed[1].name != "report.timer" || !strings.Contains(timed[2].text, "Wants=report.timer\n") {
		t.Errorf("units %+v", timed)
	}
	for i, want := range []string{
		"Restart=no\nRuntimeMaxSec=1h0m0s\nSuccessExitStatus=0 3\n", "OnCalendar=Mon *-*-* 03:00:00 Europe/Paris\nPersistent=true\nRandomizedDelaySec=1m0s\n",
	} {
		if !strings.Contains(timed[i].text, want) {
			t.Errorf("%s:\n%s\nwant %q", timed[i].name, timed[i].text, want)
		}
	}
	units := systemdUnits([]gaffer.Template{{Name: "jobs:mail", Cmd: "mail", NumProcesses: new(2), Port: 80, Env: map[string]string{"A": "b c%"}}})
	if len(units) != 3 || units[1].name != "jobs-mail-2.service" || !strings.Contains(units[1].text, "Environment=PORT=81\n") ||
		!strings.Contains(units[1].text, `Environment="A=b c%%"`) || !strings.Contains(units[2].text, "Wants=jobs-mail-1.service jobs-mail-2.service\n") {
		t.Errorf("got %+v", units)
	}
}
