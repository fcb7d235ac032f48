package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// daemon is an `otad serve`.
type daemon struct {
	*stage
	cmd  *exec.Cmd
	addr string
	dir  string // state directory
}

// serve starts otad's daemon on a state directory of its own. prepare, which may
// be nil, is given the command before it starts.
func (s *stage) serve(prepare func(*exec.Cmd), flags ...string) (*daemon, error) {
	dir, err := os.MkdirTemp(s.dir, "serve-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	args := append([]string{"serve", "-log-level", "error", "-state-dir", dir, "-listen", addr}, flags...)
	if s.ca != "" {
		args = append(args, "-ca-file", s.ca)
	}
	d := &daemon{stage: s, cmd: s.command(args...), addr: addr, dir: dir}
	d.cmd.Stderr = os.Stderr
	if prepare != nil {
		prepare(d.cmd)
	}
	if err := start(d.cmd); err != nil {
		return nil, err
	}
	if err := answers(addr); err != nil {
		d.end()
		return nil, err
	}
	return d, nil
}

func (d *daemon) end() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
	os.RemoveAll(d.dir)
}

// post gives the daemon the package as its job, to be had from url.
func (d *daemon) post(url string) error {
	job := fmt.Sprintf(`{"version":"1.0.0","package_url":%q,"package_name":"package.bin","package_size":%d,"package_md5":%q}`, url, d.size, d.md5)
	resp, err := http.Post("http://"+d.addr+"/api/v1.0/download", "application/json", strings.NewReader(job))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(said, []byte(`"code":200`)) {
		return fmt.Errorf("post: %w %s", err, said)
	}
	return nil
}

// published tells whether the package is there under its name.
func (d *daemon) published() bool {
	_, err := os.Stat(filepath.Join(d.dir, "package.bin"))
	return err == nil
}

// watch asks for /metrics each second and for /progress twice a second until the
// package is published, and tells what /metrics said last. It calls look, which
// may be nil, every 50 ms.
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
			if _, err := d.get("/progress"); err != nil {
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

func (d *daemon) get(path string) ([]byte, error) {
	resp, err := http.Get("http://" + d.addr + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// series is what /metrics says; a labelled series has its labels in its name.
type series map[string]float64

func (d *daemon) metrics() (series, error) {
	text, err := d.get("/metrics")
	if err != nil {
		return nil, err
	}
	m := series{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && name != "#" {
			m[name] = v
		}
	}
	return m, nil
}

// watched measures the daemon's memory while it downloads, and is scraped and
// polled.
func watched(s *stage) error {
	d, err := s.serve(nil, "-rate-limit", "40MB")
	if err != nil {
		return err
	}
	defer d.end()
	if err := d.post(s.url); err != nil {
		return err
	}
	if _, err := d.watch(nil); err != nil {
		return err
	}
	peak, err := peakOf(d.cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("otad serve, %d bytes at 40 MB/s, scraped each second, polled twice a second: peak RSS %.1f MB\n", s.size, peak/1e6)
	return nil
}
