package schedule

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTimesAsSystemdWritesThem(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("without systemd-analyze nobody else reads them")
	}
	for expr, want := range map[string]string{
		"0 3 * * *":             "*-*-* 03:00:00",
		"*/20 9-17/4 * * 1-3,0": "Sun,Mon,Tue,Wed *-*-* 09,13,17:00,20,40:00",
		"0 0 1,15 jan fri":      "*-01-01,15 00:00:00 | Fri *-01-* 00:00:00",
		"0 0 */10 * fri":        "Fri *-*-01,11,21,31 00:00:00",
		"0 0 1 * 0-6":           "*-*-* 00:00:00",
		"@hourly":               "*-*-* *:00:00",
		"@yearly":               "*-01-01 00:00:00",
		"0 0 L * *":             "",
		"0 0 * * fri#2":         "",
	} {
		lines, ok := parse(t, expr).Calendar()
		if got := strings.Join(lines, " | "); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
		for _, line := range lines {
			if analyze == "" {
				continue
			}
			if out, err := exec.Command(analyze, "calendar", line+" Europe/Paris").CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", expr, line, err, out)
			}
		}
	}
}
