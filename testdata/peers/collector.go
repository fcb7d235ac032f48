package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// collectorSettings are values of the Go runtime's environment variables.
// Without any of them, main.go chooses.
var collectorSettings = []string{
	"", "GOGC=25", "GOGC=50", defaultCollector, "GOGC=200", "GOGC=100 GOMEMLIMIT=8MiB", "GOGC=off GOMEMLIMIT=12MiB",
}

// defaultCollector is the runtime's own choice.
const defaultCollector = "GOGC=100"

// collectors measures the settings in turn and prints their costs.
func (s *stage) collectors(rounds int) error {
	runs := map[string][]cost{}
	collections := map[string]float64{}
	for range rounds {
		for _, setting := range collectorSettings {
			k, n, err := s.measureCollector(setting)
			if err != nil {
				return fmt.Errorf("%s: %w", setting, err)
			}
			runs[setting] = append(runs[setting], k)
			collections[setting] = n
		}
	}
	fmt.Printf("\nThe collector's settings, medians of %d alternating rounds of the same download.\n\n", rounds)
	fmt.Printf("| | peak RSS MB | less than %[1]s | CPU s | / %[1]s | collections |\n|---|---|---|---|---|---|\n", defaultCollector)
	base := runs[defaultCollector]
	for _, setting := range collectorSettings {
		k, name := runs[setting], setting
		if name == "" {
			name = "otad's own"
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.2f | %.0f |\n", name, median(k, rss)/1e6, (median(base, rss)-median(k, rss))/1e6,
			median(k, cpu), ratio(k, base, cpu), collections[setting])
	}
	return nil
}

// measureCollector returns the cost of one download under a setting, and the
// number of collections.
func (s *stage) measureCollector(setting string) (cost, float64, error) {
	d, err := s.serveJob(func(c *exec.Cmd) { c.Env = append(os.Environ(), strings.Fields(setting)...) }, "-rate-limit", "100MB")
	if err != nil {
		return cost{}, 0, err
	}
	defer d.end()
	m, err := d.watch(nil)
	if err != nil {
		return cost{}, 0, err
	}
	peak, err := peakOf(d.Cmd.Process.Pid)
	return cost{cpu: m["process_cpu_seconds_total"], rss: peak}, m["go_gc_duration_seconds_count"], err
}
