package prometheus_test

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"flag"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var draw = flag.Bool("draw", false, "draw the pictures in metrics/grafana anew")

// No Grafana can be run in the tests. So the pictures of the dashboards are drawn
// of what the panels' own queries return, and committed; each run draws them
// elsewhere, to see that it can.

// mark is something that the test did, at a time since the beginning.
type mark struct {
	at   time.Duration
	text string
}

// picture is a drawing of some panels of a dashboard.
type picture struct {
	file, title, about string
	panels             []string
	marks              []mark
}

// curve is one series of a panel: a value at each step, NaN for none.
type curve struct {
	name   string
	values []float64
}

// first returns the index of the first value that is above 0, or else is there.
func (c curve) first() int {
	i := slices.IndexFunc(c.values, func(v float64) bool { return v > 0 })
	if i < 0 {
		i = len(c.values) + slices.IndexFunc(c.values, func(v float64) bool { return !math.IsNaN(v) })
	}
	return i
}

// theBoard names a curve that its query does not name.
const theBoard = "the board"

const (
	maxPicture = 40 << 10
	columns    = 2
	panelWide  = 470 // pixels, as all of these
	panelHigh  = 214
	headHigh   = 46
	steps      = 90 // of a query
)

// draw draws the picture of the time since begun, and holds the committed one
// against it.
func (p picture) draw(t *testing.T, prometheus server, begun time.Time) {
	t.Helper()
	whole := time.Since(begun).Truncate(time.Millisecond)
	step := max(scrape, (whole / steps).Round(10*time.Millisecond))
	var b bytes.Buffer
	rows := (len(p.panels) + columns - 1) / columns
	wide, high := columns*panelWide+10, headHigh+rows*panelHigh+8
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" fill="#333">`+"\n", wide, high, wide, high)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fafafa"/>`+"\n", wide, high)
	fmt.Fprintf(&b, `<text x="12" y="21" font-size="16" font-weight="bold">%s</text><text x="12" y="38">%s</text>`+"\n", html.EscapeString(p.title), html.EscapeString(p.about))
	all := panels(t, p.file)
	for i, title := range p.panels {
		at := slices.IndexFunc(all, func(panel panel) bool { return panel.Title == title })
		if at < 0 {
			t.Fatalf("%s.json has no panel %q", p.file, title)
		}
		var curves []curve
		for _, target := range all[at].Targets {
			expr := expression(target.Expr, "2s", whole.String())
			for _, s := range prometheus.queryRange(t, expr, begun, begun.Add(whole), step) {
				curves = append(curves, newCurve(t, s, target.LegendFormat, begun, step, int(whole/step)+1))
			}
		}
		if len(curves) == 0 {
			t.Errorf("%s.json: no data for %q", p.file, title)
		}
		slices.SortStableFunc(curves, func(a, b curve) int {
			return cmp.Or(cmp.Compare(a.first(), b.first()), strings.Compare(a.name, b.name))
		})
		c := chart{x: 8 + i%columns*panelWide, y: headHigh + i/columns*panelHigh, panel: all[at], curves: curves, step: step, whole: whole, marks: p.marks}
		c.draw(&b)
	}
	b.WriteString("</svg>\n")
	p.hold(t, b.Bytes())
}

// hold checks a new drawing, and that the committed one has the same panels.
func (p picture) hold(t *testing.T, drawn []byte) {
	t.Helper()
	if len(drawn) > maxPicture {
		t.Errorf("%s.svg has %d bytes, more than %d", p.file, len(drawn), maxPicture)
	}
	committed := filepath.Join("../../metrics/grafana", p.file+".svg")
	if *draw {
		check(t, os.WriteFile(committed, drawn, 0o644))
	}
	file, err := os.ReadFile(committed)
	check(t, err)
	for _, svg := range [][]byte{drawn, file} {
		for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s.svg: %v", p.file, err)
			}
		}
	}
	titles := regexp.MustCompile(`font-weight="bold">[^<]*<`)
	if now, then := titles.FindAll(drawn, -1), titles.FindAll(file, -1); fmt.Sprintf("%q", now) != fmt.Sprintf("%q", then) {
		t.Errorf("%s has the panels %q, draw it anew with -draw: they are %q", committed, then, now)
	}
}

func newCurve(t *testing.T, s series, legend string, begun time.Time, step time.Duration, n int) curve {
	t.Helper()
	label := regexp.MustCompile(`\{\{(\w+)\}\}`)
	name := label.ReplaceAllStringFunc(legend, func(m string) string {
		key := label.FindStringSubmatch(m)[1]
		if key == "instance" {
			return "" // a port that is another one in each run
		}
		return s.Metric[key]
	})
	if name = strings.TrimSpace(strings.ReplaceAll(name, " NONE", "")); name == "" {
		name = theBoard
	}
	c := curve{name: name, values: slices.Repeat([]float64{math.NaN()}, n)}
	for _, sample := range s.Values {
		at := time.Duration((sample[0].(float64) - float64(begun.UnixMilli())/1000) * float64(time.Second))
		if i := int((at + step/2) / step); i >= 0 && i < n {
			c.values[i] = number(t, sample)
		}
	}
	return c
}
