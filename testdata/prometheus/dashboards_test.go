package prometheus_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// panel is what the tests need of a dashboard's panel.
type panel struct {
	Title       string
	Type        string
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }
}

func panels(t *testing.T, name string) []panel {
	t.Helper()
	text, err := os.ReadFile("../../metrics/grafana/" + name + ".json")
	check(t, err)
	var dashboard struct{ Panels []panel }
	check(t, json.Unmarshal(text, &dashboard))
	return dashboard.Panels
}

// expression returns a query of a dashboard for every board. Grafana would take
// longer times of a real scrape interval.
func expression(query, interval, whole string) string {
	return strings.NewReplacer("$__rate_interval", interval, "$__range", whole, "$job", ".*", "$instance", ".*").Replace(query)
}

// testDashboards runs each query of the dashboards. A query that shows only
// trouble may have no answer here.
func testDashboards(t *testing.T, prometheus server) {
	t.Helper()
	for _, name := range []string{"board", "fleet"} {
		n := 0
		all := panels(t, name)
		for _, panel := range all {
			for _, target := range panel.Targets {
				n++
				expr := expression(target.Expr, "1m", "10m")
				troubleOnly := strings.HasSuffix(expr, "> 0") || strings.Contains(expr, " unless ")
				// The age has a value while a download is under way only.
				unfinishedOnly := strings.HasPrefix(expr, "topk(10, ota_download_progress_age_seconds")
				if len(prometheus.query(t, expr)) == 0 && !troubleOnly && !unfinishedOnly {
					t.Errorf("%s, %s: no data for %s", name, panel.Title, expr)
				}
			}
		}
		t.Logf("%s: %d panels, %d queries", name, len(all), n)
	}
}
