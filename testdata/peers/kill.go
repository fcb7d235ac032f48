package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"otad/testdata/otadrun"
)

const interval = 1 << 20 // otad's default checkpoint interval in bytes

// killedAndResumed kills otad at about half of the package, starts it again, and
// returns an error if the resume is not exact.
func killedAndResumed(s *stage) error {
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		return err
	}
	first, err := s.fetchKilled(state, s.size/2)
	if err != nil {
		return err
	}
	second, err := s.fetchKilled(state, 0)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := s.checkMD5(state); err != nil {
		return err
	}
	ranges, err := s.origin.ranges()
	if err != nil {
		return err
	}
	if len(ranges) != 2 {
		return fmt.Errorf("expected two requests, nginx saw ranges from %d", ranges)
	}
	from, stored := ranges[1], first.stored
	fmt.Printf("%d bytes, killed with %d of them stored, resumed at %d: %d stored bytes requested twice (at most %d)\n",
		s.size, stored, from, stored-from, 2*interval)
	fmt.Printf("wall %.2f s in all, peak RSS %.1f MB, md5sum agrees\n", first.wall+second.wall, max(first.rss, second.rss)/1e6)
	if from == 0 || from%interval != 0 || stored-from > 2*interval || stored < from {
		return fmt.Errorf("resumed at %d with %d bytes stored", from, stored)
	}
	return nil
}

// checkMD5 compares the digest of the package in a state directory.
func (s *stage) checkMD5(state string) error {
	_, err := otadrun.CheckMD5(filepath.Join(state, "package.bin"), s.md5)
	return err
}

// runCost is the cost of one process of a download.
type runCost struct {
	cost
	stored int64 // bytes in the partial file when it was killed
}

// fetchKilled runs otad on a state directory and kills it by SIGKILL as soon as
// the partial file has at bytes; 0: otad runs to its end.
func (s *stage) fetchKilled(state string, at int64, flags ...string) (runCost, error) {
	begun, c := time.Now(), runCost{stored: s.size}
	p, err := start(s.fetch(state, flags...))
	if err != nil {
		return c, err
	}
	defer p.Kill()
	if at > 0 {
		part := filepath.Join(state, "package.bin.otad-part")
		if err := p.AwaitFile(part, at, 5*time.Minute); err != nil {
			return c, err
		}
		p.Kill()
		if c.stored, err = otadrun.FileSize(part); err == nil && c.stored < 0 {
			err = fmt.Errorf("otad had finished before it could be killed")
		}
	} else {
		err = p.Wait().Err()
	}
	c.wall, c.rss = time.Since(begun).Seconds(), peakRSS(p.Cmd)
	return c, err
}
