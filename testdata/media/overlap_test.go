package media_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Network and disk do not wait for each other: a download takes as long as the
// slower of the two.
func TestNetworkAndDiskOverlap(t *testing.T) {
	for _, sync := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
		p := slowPair{sync: sync, checkpoint: 1 << 20, size: 64 << 20}
		for name, tenths := range map[string]time.Duration{"faster": 8, "no slower": 10, "slower": 12} {
			t.Run(fmt.Sprintf("sync of %v, a link that is %s than the disk", sync, name), func(t *testing.T) {
				p.bytesPerSecond = int64(float64(p.size) / (p.disk() * tenths / 10).Seconds())
				took := p.download(t)
				t.Logf("%v; link %v, disk %v: %.3f", took, p.link(), p.disk(), p.over(took))
				if p.over(took) > 1.1 {
					t.Errorf("%v, more than 1.1 times the slower of link (%v) and disk (%v)", took, p.link(), p.disk())
				}
			})
		}
	}
}

// TestSlowMedia prints the effect of -checkpoint where syncs are slow: a larger
// interval has fewer of them, and costs more bytes downloaded again after a
// cut.
func TestSlowMedia(t *testing.T) {
	var table strings.Builder
	fmt.Fprint(&table, "64 MiB; s, and times the slower of link and syncs\n\n",
		"| a sync | link MB/s | link alone | 1 MiB: syncs alone | wall | times | 4 MiB: syncs alone | wall | times |\n",
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, sync := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
		for _, rate := range []int64{1_250_000, 12_500_000, 125_000_000} {
			p := slowPair{sync: sync, bytesPerSecond: rate, size: 64 << 20}
			fmt.Fprintf(&table, "| %v | %.2f | %.2f |", sync, float64(rate)/1e6, p.link().Seconds())
			var before time.Duration
			for _, p.checkpoint = range []int64{1 << 20, 4 << 20} {
				took := p.download(t)
				if before > 0 && took > before {
					t.Errorf("sync of %v, %d bytes/s: %v, and only %v with the smaller interval", sync, rate, took, before)
				}
				before = took
				fmt.Fprintf(&table, " %.2f | %.2f | %.2f |", p.disk().Seconds(), took.Seconds(), p.over(took))
			}
			fmt.Fprintln(&table)
		}
	}
	t.Log(table.String())
}
