package config_test

import (
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// What people write who know compose and systemd: sockets, readiness, dependencies, limits,
// rollouts and schedules together.
func TestTheShapeOfAFile(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": `
[socket.web]
listen = "127.0.0.1:8080"

[process.db]
cmd = "redis-server --port 6390 --save ''"
[process.db.ready]
tcp = "127.0.0.1:6390"
timeout = "20s"

[process.migrate]
cmd = "./migrate"
restart = "never"
depends_on = { db = "ready" }

[process.web]
cmd = "./web"
numprocesses = 4
sockets = ["web"]
depends_on = { db = "ready", migrate = "done-successfully" }
limits = { nofile = 65536, memory = "512MiB" }
[process.web.ready]
notify = true
[process.web.rollout]
max_unavailable = 0
max_surge = 1
drain = "5s"

[process.report]
cmd = "./report"
[process.report.schedule]
cron = "0 3 * * *"
timezone = "Europe/Paris"
overlap = "skip"
`})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Templates) != 4 {
		t.Fatalf("%d templates", len(f.Templates))
	}
	web := f.Templates[2]
	if web.Sockets[0].Listen != "127.0.0.1:8080" || web.DependsOn["migrate"] != gaffer.DependsFinished || web.Limits.Memory != 512<<20 ||
		!web.Ready.Notify || *web.Rollout.MaxUnavailable != 0 || f.Templates[3].Schedule.Timezone != "Europe/Paris" {
		t.Errorf("got %+v", web)
	}
}
