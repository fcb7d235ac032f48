package main

import (
	"bytes"
	"fmt"
	"time"
)

// chart is the picture of the requests a second.
type chart struct {
	requests       []request
	from, down, up time.Duration // first job, and the outage; from the start of the rig
}

// The measures of the picture, in pixels.
const (
	chartWidth, chartHeight     = 960, 400
	chartLeft, chartRight       = 56, 16
	chartTop, chartBottom       = 64, 52
	plotWidth                   = chartWidth - chartLeft - chartRight
	plotHeight                  = chartHeight - chartTop - chartBottom
	darkBar, lightBar, bandFill = "#1b4f72", "#e59866", "#f4f0e8"
)

// perSecond counts the requests of each second since from, good and refused.
func (c chart) perSecond() (good, refused []int) {
	last := 0
	for _, r := range c.requests {
		last = max(last, int((r.at-c.from)/time.Second))
	}
	good, refused = make([]int, last+16), make([]int, last+16)
	for _, r := range c.requests {
		second := max(0, int((r.at-c.from)/time.Second))
		if r.failed {
			refused[second]++
		} else {
			good[second]++
		}
	}
	return good, refused
}

// draw returns the chart as SVG. The scale is that of the return. Seconds of more
// requests are cut at its top, and the highest of their neighbours has its number.
func (c chart) draw() []byte {
	good, refused := c.perSecond()
	highest := 10
	for i := range good {
		if i > int((c.up-c.from)/time.Second) {
			highest = max(highest, 3*(good[i]+refused[i]))
		}
	}
	step := 5
	for highest/step > 8 {
		step *= 2
	}
	highest = (highest/step + 1) * step
	x := func(second float64) float64 { return chartLeft + second*plotWidth/float64(len(good)) }
	y := func(n float64) float64 {
		return chartTop + plotHeight - min(n, float64(highest))*plotHeight/float64(highest)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img" aria-labelledby="t">
<title id="t">Requests a second at the origin: an outage, and how the boards come back</title>
<rect width="100%%" height="100%%" fill="white"/>
`, chartWidth, chartHeight)
	band0, band1 := x((c.down - c.from).Seconds()), x((c.up - c.from).Seconds())
	fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>
<text x="%.1f" y="%d" text-anchor="middle">the origin fails for %.0f s</text>
`, band0, chartTop, band1-band0, plotHeight, bandFill, (band0+band1)/2, chartTop-20, (c.up - c.down).Seconds())
	for n := 0; n <= highest; n += step {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%d</text>
`, chartLeft, y(float64(n)), chartWidth-chartRight, chartLeft-6, y(float64(n))+4, n)
	}
	drawBars(&b, good, refused, highest, x, y)
	c.drawSpread(&b, x, y)
	for s := 0; s < len(good); s += 30 {
		fmt.Fprintf(&b, `<path d="M%.1f %dv5" stroke="black"/><text x="%.1f" y="%d" text-anchor="middle">%d s</text>
`, x(float64(s)), chartTop+plotHeight, x(float64(s)), chartTop+plotHeight+19, s)
	}
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="black"/>
<text x="%d" y="22" font-size="15" font-weight="bold">Requests a second at the origin</text>
<rect x="%d" y="%d" width="11" height="11" fill="%s"/><text x="%d" y="%d">answered with the package</text>
<rect x="%d" y="%d" width="11" height="11" fill="%s"/><text x="%d" y="%d">answered 503</text>
<path d="M%d %dh22" stroke="black" stroke-width="2"/><text x="%d" y="%d">boards that came back, mean of %.0f s</text>
</svg>
`, chartLeft, chartTop, chartTop+plotHeight, chartWidth-chartRight, chartLeft,
		chartLeft, chartHeight-18, darkBar, chartLeft+17, chartHeight-8,
		chartLeft+230, chartHeight-18, lightBar, chartLeft+247, chartHeight-8,
		chartLeft+380, chartHeight-12, chartLeft+408, chartHeight-8, window.Seconds())
	return b.Bytes()
}

// drawBars draws a bar for each second.
func drawBars(b *bytes.Buffer, good, refused []int, highest int, x, y func(float64) float64) {
	width := max(0.8, float64(plotWidth)/float64(len(good))-0.6)
	for i := range good {
		g, all := float64(good[i]), float64(good[i]+refused[i])
		if all > g {
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>
`, x(float64(i)), y(all), width, y(g)-y(all), lightBar)
		}
		if g > 0 {
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>
`, x(float64(i)), y(g), width, y(0)-y(g), darkBar)
		}
		if int(all) > highest && isPeak(good, refused, i) {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" font-size="11" text-anchor="middle">%.0f</text>
`, x(float64(i))+width/2, chartTop-4, all)
		}
	}
}

// isPeak reports whether no second near i has more requests.
func isPeak(good, refused []int, i int) bool {
	for k := max(0, i-6); k < min(len(good), i+7); k++ {
		if all := good[k] + refused[k]; all > good[i]+refused[i] || all == good[i]+refused[i] && k < i {
			return false
		}
	}
	return true
}

// drawSpread draws the average of the return, and twice it, until 95 % are back.
func (c chart) drawSpread(b *bytes.Buffer, x, y func(float64) float64) {
	s := spreadOf(c.requests, c.down, c.up)
	if s.back == 0 {
		return
	}
	from, to := x((c.up - c.from).Seconds()), x((c.up - c.from + s.nearly).Seconds())
	fmt.Fprintf(b, `<path d="M%.1f %.1f`, from, y(0))
	for i, n := range s.windows {
		fmt.Fprintf(b, `V%.1fH%.1f`, y(float64(n)/window.Seconds()), x((c.up - c.from + time.Duration(i+1)*window).Seconds()))
	}
	fmt.Fprintf(b, `" fill="none" stroke="black" stroke-width="2"/>
`)
	for factor, name := range []string{"", "average", "twice the average"} {
		if factor > 0 {
			at := y(float64(factor) * s.average)
			fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="black" stroke-dasharray="%d 3"/><text x="%.1f" y="%.1f" font-size="11">%s</text>
`, from, at, to, 6/factor, to+4, at+4, name)
		}
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">95 %% are back within %.0f s</text>
`, (from+to)/2, chartTop-20, s.nearly.Seconds())
}
