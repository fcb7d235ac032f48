package prometheus_test

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// chart draws one panel at x, y.
type chart struct {
	x, y   int
	panel  panel
	curves []curve
	step   time.Duration
	whole  time.Duration
	marks  []mark
}

// The area of the curves within a panel.
const (
	left, right, top, bottom = 62, 12, 36, 52
	plotWide                 = panelWide - 8 - left - right
	plotHigh                 = panelHigh - 8 - top - bottom
)

func colours() []string {
	return []string{"#1f60c4", "#c4462f", "#2f8f46", "#b8860b", "#7a4fb5", "#3a8fa3", "#6b6b6b", "#d0609a"}
}

// colour gives what is bad or good the colour that a reader expects.
func colour(name string, i int) string {
	switch word, _, _ := strings.Cut(name, " "); word {
	case "ready", "succeeded":
		return "#2f8f46"
	case "failed":
		if strings.HasSuffix(name, "MISMATCH") {
			return "#e5823c"
		}
		return "#c4462f"
	case "idle", "none":
		return "#9a9a9a"
	case "downloading":
		return "#1f60c4"
	case "verifying":
		return "#b8860b"
	}
	return colours()[i%len(colours())]
}

func (c chart) draw(w io.Writer) {
	fmt.Fprintf(w, `<g transform="translate(%d %d)"><rect width="%d" height="%d" fill="#fff" stroke="#ddd"/>`+"\n", c.x, c.y, panelWide-8, panelHigh-8)
	fmt.Fprintf(w, `<text x="10" y="17" font-size="12" font-weight="bold">%s</text>`+"\n", html.EscapeString(c.panel.Title))
	timeline := c.panel.Type == "state-timeline"
	unit, scale := c.unit()
	highest := niceTop(c.highest()/scale) * scale
	if unit == "boards" || unit == "number" {
		highest = 4 * math.Ceil(max(1, c.highest())/4) // a tick is a whole number
	}
	if !timeline {
		fmt.Fprintf(w, `<text x="%d" y="17" text-anchor="end" fill="#666">%s</text>`+"\n", panelWide-20, unit)
		for i := range 5 {
			y := top + plotHigh - i*plotHigh/4
			fmt.Fprintf(w, `<path d="M%d %dh%d" stroke="#eee"/><text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
				left, y, plotWide, left-6, y+4, strconv.FormatFloat(highest/scale*float64(i)/4, 'g', 4, 64))
		}
	}
	c.drawTime(w)
	if timeline {
		c.drawBands(w)
	} else {
		for i, curve := range c.curves {
			fmt.Fprintf(w, `<path d="%s" fill="none" stroke="%s" stroke-width="1.6"/>`+"\n", c.path(curve.values, highest), colour(curve.name, i))
		}
		if len(c.curves) != 1 || c.curves[0].name != theBoard {
			c.drawLegend(w)
		}
	}
	fmt.Fprint(w, "</g>\n")
}

// drawTime draws the axis of time, and what the test did.
func (c chart) drawTime(w io.Writer) {
	every := time.Duration(niceTop(c.whole.Seconds()/6)) * time.Second
	for at := time.Duration(0); at <= c.whole; at += max(every, time.Second) {
		fmt.Fprintf(w, `<text x="%.0f" y="%d" text-anchor="middle">%.0f s</text>`, c.atTime(at), top+plotHigh+15, at.Seconds())
	}
	for _, m := range c.marks {
		x := c.atTime(m.at)
		fmt.Fprintf(w, `<path d="M%.1f %dv%d" stroke="#999" stroke-dasharray="3 3"/><text x="%.1f" y="%d" font-size="9" fill="#666">%s</text>`, x, top-8, plotHigh+8, x+3, top-3, html.EscapeString(m.text))
	}
	fmt.Fprintf(w, `<path d="M%d %dh%d" stroke="#888"/>`+"\n", left, top+plotHigh, plotWide)
}

func (c chart) atTime(at time.Duration) float64 {
	return left + plotWide*at.Seconds()/c.whole.Seconds()
}

// drawBands draws a row for each series, filled while it has a value.
func (c chart) drawBands(w io.Writer) {
	rows, high := map[string]int{}, min(24, (plotHigh-10)/max(1, len(c.curves)))
	for i, curve := range c.curves {
		row, known := rows[curve.name]
		if !known {
			row = len(rows)
			rows[curve.name] = row
			fmt.Fprintf(w, `<text x="10" y="%d" font-size="10">%s</text>`, top+12+row*high+high/2, html.EscapeString(curve.name))
		}
		for from := 0; from < len(curve.values); from++ {
			to := from
			for to < len(curve.values) && !math.IsNaN(curve.values[to]) {
				to++
			}
			if to > from {
				x := c.atTime(time.Duration(from) * c.step)
				fmt.Fprintf(w, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, x, top+9+row*high,
					min(c.atTime(time.Duration(to)*c.step), left+plotWide)-x, high-5, colour(curve.name, i))
				from = to
			}
		}
	}
	fmt.Fprintln(w)
}

// drawLegend names the curves in rows below the axis.
func (c chart) drawLegend(w io.Writer) {
	x, y, seen := left, top+plotHigh+32, map[string]bool{}
	for i, curve := range c.curves {
		if seen[curve.name] {
			continue
		}
		seen[curve.name] = true
		long := 22 + len(curve.name)*13/2
		if x+long > panelWide-14 && x > left {
			x, y = left, y+14
		}
		fmt.Fprintf(w, `<path d="M%d %dh10" stroke="%s" stroke-width="3"/><text x="%d" y="%d" font-size="10">%s</text>`, x, y-4, colour(curve.name, i), x+14, y, html.EscapeString(curve.name))
		x += long
	}
	fmt.Fprintln(w)
}

// path returns the curve as an SVG path, without the points inside of a straight
// piece.
func (c chart) path(values []float64, highest float64) string {
	var b strings.Builder
	pen := false
	for i, v := range values {
		if math.IsNaN(v) {
			pen = false
			continue
		}
		if pen && i+1 < len(values) && values[i+1] == v && values[i-1] == v {
			continue
		}
		command := "L"
		if !pen {
			command = "M"
		}
		pen = true
		fmt.Fprintf(&b, "%s%.0f %.1f", command, c.atTime(time.Duration(i)*c.step), top+plotHigh*(1-v/highest))
	}
	return b.String()
}

func (c chart) highest() float64 {
	most := 0.0
	for _, curve := range c.curves {
		for _, v := range curve.values {
			if !math.IsNaN(v) {
				most = max(most, v)
			}
		}
	}
	return most
}

// unit returns the unit of the panel in words, and what one of it is.
func (c chart) unit() (string, float64) {
	switch c.panel.FieldConfig.Defaults.Unit {
	case "bytes":
		return "MiB", mib
	case "Bps":
		return "MiB/s", mib
	case "s":
		return "seconds", 1
	case "percent":
		return "%", 1
	case "percentunit":
		return "%", 0.01
	}
	if strings.Contains(c.panel.Title, "oards") || strings.Contains(c.panel.Title, "ackages") || strings.Contains(c.panel.Title, "jobs") {
		return "boards", 1
	}
	return "number", 1
}

// niceTop returns the end of an axis that has four ticks.
func niceTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8} {
		if n*power >= v {
			return n * power
		}
	}
	return 10 * power
}
