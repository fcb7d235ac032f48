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
	begun := time.Now()
	first, err := start(s.fetch(state))
	if err != nil {
		return err
	}
	stored, err := killAt(first, filepath.Join(state, "package.bin.part"), s.size/2)
	if err != nil {
		return err
	}
	second, err := start(s.fetch(state))
	if err != nil {
		return err
	}
	if err := second.Wait().Err(); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	wall := time.Since(begun)
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
	from := ranges[1]
	fmt.Printf("%d bytes, killed with %d of them stored, resumed at %d: %d stored bytes requested twice (at most %d)\n",
		s.size, stored, from, stored-from, interval)
	fmt.Printf("wall %.2f s in all, peak RSS %.1f MB, md5sum agrees\n", wall.Seconds(), max(peakRSS(first.Cmd), peakRSS(second.Cmd))/1e6)
	if from == 0 || from%interval != 0 || stored-from > interval || stored < from {
		return fmt.Errorf("resumed at %d with %d bytes stored", from, stored)
	}
	return nil
}

// checkMD5 compares the digest of the package in a state directory.
func (s *stage) checkMD5(state string) error {
	_, err := otadrun.CheckMD5(filepath.Join(state, "package.bin"), s.md5)
	return err
}

// killAt kills a process by SIGKILL as soon as the partial file has n bytes, and
// returns the length of the file after that.
func killAt(p *otadrun.Process, part string, n int64) (int64, error) {
	defer p.Kill()
	if err := p.AwaitFile(part, n, 5*time.Minute); err != nil {
		return 0, err
	}
	p.Kill()
	size, err := otadrun.FileSize(part)
	if err == nil && size < 0 {
		err = fmt.Errorf("otad had finished before it could be killed")
	}
	return size, err
}
