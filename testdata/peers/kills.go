package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// kills kills the daemon n times in the middle of a download, while its metrics
// are scraped and its progress is polled, and prints what its processes had at
// their peak. The job is begun anew when the package is Ready.
func kills(s *stage, n int) error {
	var peaks []float64
	var d *daemon
	jobs := 0
	for len(peaks) < n {
		begins := d == nil || d.published()
		dir := ""
		if !begins {
			dir = d.dir
		} else {
			if d != nil {
				os.RemoveAll(d.dir)
			}
			var err error
			if dir, err = os.MkdirTemp(s.dir, "serve-"); err != nil {
				return err
			}
			jobs++
		}
		var err error
		if d, err = s.serveOn(dir, nil); err != nil {
			return err
		}
		if begins {
			if err = d.post(s.url); err != nil {
				return err
			}
		}
		end := time.Now().Add(time.Duration(rand.Int64N(int64(time.Second))))
		peak, err := d.watchUntil(end)
		d.Kill()
		d.client.Close()
		if err != nil {
			return err
		}
		peaks = append(peaks, peak/1e6)
	}
	os.RemoveAll(d.dir)
	slices.Sort(peaks)
	fmt.Printf("%d processes of otad serve, each killed within a second, %d downloads of %d bytes, scraped and polled twice a second: peak RSS %.1f MB in the median, %.1f in 19 of 20, %.1f at most\n",
		n, jobs, s.size, peaks[n/2], peaks[n*19/20], peaks[n-1])
	return nil
}

// watchUntil scrapes and polls until end or until the package is published, and
// returns the peak of the daemon's memory in bytes.
func (d *daemon) watchUntil(end time.Time) (float64, error) {
	for {
		if _, err := d.metrics(); err != nil {
			return 0, err
		}
		if _, err := d.client.Progress(context.Background()); err != nil {
			return 0, err
		}
		if time.Now().After(end) || d.published() {
			return peakOf(d.Cmd.Process.Pid)
		}
		time.Sleep(min(500*time.Millisecond, time.Until(end)))
	}
}
