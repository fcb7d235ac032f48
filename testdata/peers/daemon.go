package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"otad/testdata/otadrun"
)

// daemon is an `otad serve`.
type daemon struct {
	*stage
	*otadrun.Process
	client *otadrun.Client
	dir    string // state directory
}

// serve starts otad's daemon on a state directory of its own. prepare, which may
// be nil, changes the command before it starts.
func (s *stage) serve(prepare func(*exec.Cmd), flags ...string) (*daemon, error) {
	dir, err := os.MkdirTemp(s.dir, "serve-")
	if err != nil {
		return nil, err
	}
	return s.serveOn(dir, prepare, flags...)
}

// serveOn is serve on a state directory that is there.
func (s *stage) serveOn(dir string, prepare func(*exec.Cmd), flags ...string) (*daemon, error) {
	addr, err := otadrun.FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	if s.ca != "" {
		flags = append(flags, "-ca-file", s.ca)
	}
	cmd := s.command(append([]string{"serve", "-state-dir", dir, "-listen", addr, "-log-level", "error"}, flags...)...)
	cmd.Stderr = os.Stderr
	if prepare != nil {
		prepare(cmd)
	}
	d := &daemon{stage: s, client: otadrun.NewClient(addr), dir: dir}
	if d.Process, err = start(cmd); err != nil {
		return nil, err
	}
	if err := d.AwaitListener(addr, 10*time.Second); err != nil {
		d.end()
		return nil, err
	}
	return d, nil
}

func (d *daemon) end() {
	d.Kill()
	d.client.Close()
	os.RemoveAll(d.dir)
}

// post sends the package at url as the daemon's job.
func (d *daemon) post(url string) error {
	r, err := d.client.Post(context.Background(), otadrun.Job{Version: "1.0.0", URL: url, Name: "package.bin", Size: d.size, MD5: d.md5})
	if err == nil {
		err = r.Err()
	}
	return err
}

// serveJob is serve with the package as the daemon's job.
func (s *stage) serveJob(prepare func(*exec.Cmd), flags ...string) (*daemon, error) {
	d, err := s.serve(prepare, flags...)
	if err != nil {
		return nil, err
	}
	if err := d.post(s.url); err != nil {
		d.end()
		return nil, err
	}
	return d, nil
}

// published reports whether the package has its final name.
func (d *daemon) published() bool {
	_, err := os.Stat(filepath.Join(d.dir, "package.bin"))
	return err == nil
}

// watch reads /metrics each second and the progress twice a second until the
// package is published, and returns the last metrics. It calls look, which may be
// nil, every 50 ms.
func (d *daemon) watch(look func() error) (series, error) {
	begun := time.Now()
	for i := 0; !d.published(); i++ {
		if time.Since(begun) > 5*time.Minute {
			return nil, fmt.Errorf("the package did not become ready")
		}
		if i%20 == 0 {
			if _, err := d.metrics(); err != nil {
				return nil, err
			}
		}
		if i%10 == 0 {
			if _, err := d.client.Progress(context.Background()); err != nil {
				return nil, err
			}
		}
		if look != nil {
			if err := look(); err != nil {
				return nil, err
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return d.metrics()
}

// series are the values of /metrics by name; the name includes the labels.
type series map[string]float64

func (d *daemon) metrics() (series, error) {
	text, _, err := d.client.Get(context.Background(), "/metrics")
	if err != nil {
		return nil, err
	}
	m := series{}
	for line := range strings.Lines(string(text)) {
		m.add(strings.TrimSpace(line))
	}
	return m, nil
}

// add adds a line of a name and a value; other lines are comments.
func (m series) add(line string) {
	name, value, _ := strings.Cut(line, " ")
	if v, err := strconv.ParseFloat(value, 64); err == nil {
		m[name] = v
	}
}

// daemonMemory measures the daemon's memory during a download, while its metrics are
// scraped and its progress is polled.
func daemonMemory(s *stage) error {
	d, err := s.serveJob(nil, "-rate-limit", "40MB")
	if err != nil {
		return err
	}
	defer d.end()
	if _, err := d.watch(nil); err != nil {
		return err
	}
	peak, err := peakOf(d.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("otad serve, %d bytes at 40 MB/s, scraped each second, polled twice a second: peak RSS %.1f MB\n", s.size, peak/1e6)
	return nil
}
