package media_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// slowSyncs are what a sync takes on flash, from a good eMMC to a bad card.
var slowSyncs = []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}

// longPackage has so many syncs that the nine of a download's start and end, four
// transactions of the journal and the last interval, are less than 3 in 100.
const longPackage = 160 << 20

// Network and disk do not wait for each other: a download takes as long as the
// slower of the two.
func TestNetworkAndDiskOverlap(t *testing.T) {
	for _, sync := range slowSyncs {
		p := slowPair{sync: sync, checkpoint: 1 << 20, size: longPackage}
		for name, tenths := range map[string]time.Duration{"faster": 8, "no slower": 10, "slower": 12} {
			t.Run(fmt.Sprintf("sync of %v, a link that is %s than the disk", sync, name), func(t *testing.T) {
				p.bytesPerSecond = int64(float64(p.size) / (p.disk() * tenths / 10).Seconds())
				took := p.download(t)
				t.Logf("%v; link %v, disk %v: %.3f", took, p.link(), p.disk(), p.over(took))
				if p.over(took) > 1.05 {
					t.Errorf("%v, more than 1.05 times the slower of link (%v) and disk (%v)", took, p.link(), p.disk())
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
	fmt.Fprint(&table, "s, and times the slower of link and syncs\n\n",
		"| a sync | link MB/s | package MiB | link alone | 1 MiB: syncs alone | wall | times | 4 MiB: syncs alone | wall | times |\n",
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, sync := range slowSyncs {
		for _, rate := range []int64{1_250_000, 12_500_000, 125_000_000} {
			p := slowPair{sync: sync, bytesPerSecond: rate, size: 64 << 20, checkpoint: 1 << 20}
			if p.disk() > p.link() {
				p.size = longPackage
			}
			fmt.Fprintf(&table, "| %v | %.2f | %d | %.2f |", sync, float64(rate)/1e6, p.size>>20, p.link().Seconds())
			var before time.Duration
			for _, p.checkpoint = range []int64{1 << 20, 4 << 20} {
				took := p.download(t)
				if before > 0 && took > before {
					t.Errorf("sync of %v, %d bytes/s: %v, and only %v with the smaller interval", sync, rate, took, before)
				}
				before = took
				if p.checkpoint == 1<<20 && p.over(took) > 1.05 {
					t.Errorf("sync of %v, %d bytes/s: %v, %.3f times the slower of link and syncs", sync, rate, took, p.over(took))
				}
				fmt.Fprintf(&table, " %.2f | %.2f | %.2f |", p.disk().Seconds(), took.Seconds(), p.over(took))
			}
			fmt.Fprintln(&table)
		}
	}
	t.Log(table.String())
}
