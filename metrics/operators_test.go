package metrics_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each rule leads to a section of the README and asks for series that exist.
func TestAlertsNameSeriesAndSectionsThatExist(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for line := range strings.Lines(string(readme)) {
		if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			anchors["metrics/README.md#"+strings.ReplaceAll(strings.ToLower(heading), " ", "-")] = true
		}
	}
	links := regexp.MustCompile(`runbook_url: (\S+)`).FindAllStringSubmatch(string(rules), -1)
	for _, link := range links {
		if !anchors[link[1]] {
			t.Errorf("README.md has no section for %s", link[1])
		}
	}
	if alerts := strings.Count(string(rules), "- alert: "); alerts == 0 || len(links) != alerts {
		t.Errorf("%d alerts have %d runbooks", alerts, len(links))
	}
	page, err := io.ReadAll(scrape(t, withJob(), nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(ota|process)_[a-z_]+[a-z]`).FindAllString(string(rules), -1) {
		if !strings.Contains(string(page), "\n"+name) {
			t.Errorf("no series is called %s", name)
		}
	}
}

// No Grafana runs here. What it needs of a dashboard to be imported, and what a
// reader needs of each panel, is checked.
func TestDashboardsAreCompleteAndNameSeriesThatExist(t *testing.T) {
	page, err := io.ReadAll(scrape(t, withJob(), nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]bool{}
	for _, file := range []string{"grafana/board.json", "grafana/fleet.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		type source struct{ Type, UID string }
		var d struct {
			UID, Title string
			ID         *int
			Templating struct{ List []struct{ Name, Type string } }
			Panels     []struct {
				Title, Description string
				Datasource         source
				FieldConfig        struct{ Defaults struct{ Unit string } }
				Targets            []struct {
					Expr       string
					Datasource source
				}
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var names []string
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
		}
		if d.UID == "" || d.Title == "" || d.ID != nil || uids[d.UID] || !slices.Equal(names, []string{"datasource", "job", "instance"}) {
			t.Errorf("%s: uid %q, title %q, variables %v", file, d.UID, d.Title, names)
		}
		uids[d.UID] = true
		variable := source{"prometheus", "${datasource}"}
		for _, p := range d.Panels {
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != variable || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q lacks a description, a unit, the data source or a query", file, p.Title)
			}
			for _, q := range p.Targets {
				if q.Datasource != variable {
					t.Errorf("%s: %q has another data source", file, p.Title)
				}
				for _, name := range regexp.MustCompile(`\b(ota|process)_[a-z_]+[a-z]`).FindAllString(q.Expr, -1) {
					if !strings.Contains(string(page), "\n"+name) {
						t.Errorf("%s: %q asks for %s, which does not exist", file, p.Title, name)
					}
				}
			}
		}
	}
}

func TestPromtoolFiresEachAlertForTheSickBoardAlone(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on the PATH")
	}
	if out, err := exec.Command(promtool, "test", "rules", "testdata/alerts_test.yml").CombinedOutput(); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), "alertname: "+alert[1]+"\n") {
			t.Errorf("%s has no test", alert[1])
		}
	}
}

// node_exporter takes otad's file as it is, beside its own series.
func TestNodeExporterTakesTheMetricsFile(t *testing.T) {
	exporter, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		t.Skip("prometheus-node-exporter is not on the PATH")
	}
	dir := t.TempDir()
	m := withJob()
	m.SetDurable(42 << 20)
	if err := m.WriteFile(filepath.Join(dir, "otad.prom")); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), exporter, "--web.listen-address="+addr, "--collector.textfile.directory="+dir)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			cmd.Process.Kill()
			cmd.Wait() // the log is whole then
		}
	}
	t.Cleanup(end)
	var page string
	for late := time.Now().Add(20 * time.Second); page == "" && time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr + "/metrics"); err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			page = string(body)
		}
	}
	for _, want := range []string{"\nota_download_durable_bytes 4.4040192e+07\n", "\nota_job_info{package=\"u.zip\",version=\"\"} 1\n", "\nnode_textfile_scrape_error 0\n", "\nprocess_start_time_seconds ", "/otad.prom\"} "} {
		if !strings.Contains(page, want) {
			t.Errorf("node_exporter does not show %q", want)
		}
	}
	end()
	if strings.Contains(log.String(), "collected before") {
		t.Errorf("node_exporter complains:\n%s", &log)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
