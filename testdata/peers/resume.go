package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"otad/testdata/otadrun"
)

// resumeTimes measures from the start of the process to its first range
// request, early and late in the package: the offset must not matter. For
// comparison: a downloader that keeps no digest state hashes the partial file.
func resumeTimes(s *stage, rounds int) error {
	early, late := int64(1<<20), s.size/interval*interval-interval
	dirs := map[int64]string{}
	for _, at := range []int64{early, late} {
		dirs[at] = filepath.Join(s.dir, strconv.FormatInt(at, 10))
		if err := s.leaveAt(dirs[at], at); err != nil {
			return err
		}
	}
	times := map[int64][]time.Duration{}
	for range rounds {
		for at, dir := range dirs {
			t, from, err := s.firstRequest(dir)
			if err != nil {
				return err
			}
			if from < at-2*interval {
				return fmt.Errorf("requested from %d, though %d bytes are durable", from, at)
			}
			times[at] = append(times[at], t)
		}
	}
	begun := time.Now()
	if err := otadrun.Command("md5sum", filepath.Join(dirs[late], "package.bin.otad-part")).Run(); err != nil {
		return err
	}
	rehash := time.Since(begun)
	a, b := middle(times[early]), middle(times[late])
	fmt.Printf("start of the process to the first range request, medians of %d: %.1f ms at %d bytes, %.1f ms at %d bytes (x %.2f)\n",
		rounds, ms(a), early, ms(b), late, float64(b)/float64(a))
	fmt.Printf("hashing the partial file again, as without a stored digest state: %.0f ms more (x %.0f)\n", ms(rehash), float64(rehash+b)/float64(b))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// leaveAt makes a state directory with at least n bytes of the package, and not
// many more: the last of them come slowly.
func (s *stage) leaveAt(dir string, n int64) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if n > 50e6 {
		if err := s.fetchUntil(dir, n-30e6, "100MB"); err != nil {
			return err
		}
	}
	return s.fetchUntil(dir, n, "10MB")
}

// fetchUntil stops otad by SIGTERM when n bytes are stored.
func (s *stage) fetchUntil(dir string, n int64, rate string) error {
	p, err := otadrun.Start(s.fetch(dir, "-rate-limit", rate))
	if err != nil {
		return err
	}
	defer p.Kill()
	if err := p.AwaitFile(filepath.Join(dir, "package.bin.otad-part"), n, time.Minute); err != nil {
		return err
	}
	r, err := p.Stop(time.Minute)
	if err == nil && r.Code != 75 {
		err = fmt.Errorf("otad should stop at %d bytes and ended with %d", n, r.Code)
	}
	return err
}

// firstRequest starts otad on dir. It returns the time until its request
// arrived here, and the start of the range.
func (s *stage) firstRequest(dir string) (time.Duration, int64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	cmd := s.fetchFrom("http://"+l.Addr().String()+"/package.bin", dir)
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer cmd.Wait()
	// A clean stop: ten kills in a row without a checkpoint are a crash loop.
	defer cmd.Process.Signal(syscall.SIGTERM)
	l.(*net.TCPListener).SetDeadline(begun.Add(10 * time.Second))
	c, err := l.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReader(c))
	took := time.Since(begun)
	if err != nil {
		return 0, 0, err
	}
	var from int64
	_, err = fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from)
	return took, from, err
}
