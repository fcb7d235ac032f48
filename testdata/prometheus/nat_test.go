package prometheus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A board behind NAT has no port that the middle could scrape. The gateway of its
// site runs Prometheus as an agent, which sends on what it scrapes. Both run with
// the files of the metrics folder; only their names, times and addresses change.
func TestSampleOfABoardBehindNATReachesTheMiddle(t *testing.T) {
	b := newBoard(t)
	b.start()
	alerts, err := filepath.Abs("../../metrics/alerts.yml")
	check(t, err)
	central := startServer(t, configuration(t, "central.yml", "15s", "1s", "alerts.yml", alerts),
		"--web.enable-remote-write-receiver", "--storage.tsdb.path="+t.TempDir())
	startServer(t, configuration(t, "agent.yml", "15s", scrape.String(), "board-1.lan:12315", b.addr,
		"https://metrics.example", "http://"+central.addr), "--enable-feature=agent", "--storage.agent.path="+t.TempDir())
	central.await(t, `ota_update_state{job="otad",site="site-1",state="idle"} == 1`)
	central.await(t, `up{job="otad",site="site-1"} == 1`)
	b.process.Kill()
	central.await(t, `up{job="otad",site="site-1"} == 0`) // the middle sees that the board is gone
}

// configuration returns a file of the metrics folder, which has at most six lines
// beside comments, with each old text replaced by the new one.
func configuration(t *testing.T, name string, oldnew ...string) string {
	t.Helper()
	file, err := os.ReadFile("../../metrics/" + name)
	check(t, err)
	text := string(file)
	lines := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			lines++
		}
	}
	if lines > 6 {
		t.Errorf("%s has %d lines", name, lines)
	}
	readme, err := os.ReadFile("../../metrics/README.md")
	check(t, err)
	if !strings.Contains(string(readme), "```yaml\n"+text+"```\n") {
		t.Errorf("metrics/README.md does not show %s as it is", name)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Errorf("%s has no %q", name, oldnew[i])
		}
	}
	return strings.NewReplacer(oldnew...).Replace(text)
}
