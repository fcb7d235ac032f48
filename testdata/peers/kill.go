package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const interval = 1 << 20 // otad's default checkpoint interval in bytes

// killedAndResumed ends otad by SIGKILL at about half of the package, starts it
// again, and fails where the resume is not exact.
func killedAndResumed(s *stage) error {
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		return err
	}
	begun := time.Now()
	first := s.fetch(state)
	if err := first.Start(); err != nil {
		return err
	}
	stored, err := killAtHalf(first, filepath.Join(state, "package.bin.part"), s.size)
	if err != nil {
		return err
	}
	second := s.fetch(state)
	if out, err := second.Output(); err != nil {
		return fmt.Errorf("resume: %w (%s)", err, out)
	}
	wall := time.Since(begun)
	if err := child("sh", "-c", `echo "$1  $2" | md5sum --check --quiet`, "sh", s.md5, filepath.Join(state, "package.bin")).Run(); err != nil {
		return fmt.Errorf("md5sum of the package: %w", err)
	}
	ranges, err := s.origin.ranges()
	if err != nil {
		return err
	}
	if len(ranges) != 2 {
		return fmt.Errorf("expected two requests, nginx saw ranges from %d", ranges)
	}
	from := ranges[1]
	fmt.Printf("%d bytes, killed with %d of them stored, resumed at %d: %d stored bytes asked for twice (at most %d)\n",
		s.size, stored, from, stored-from, interval)
	fmt.Printf("wall %.2f s in all, peak RSS %.1f MB, md5sum agrees\n", wall.Seconds(), max(peakRSS(first), peakRSS(second))/1e6)
	if from == 0 || from%interval != 0 || stored-from > interval || stored < from {
		return fmt.Errorf("resumed at %d with %d bytes stored", from, stored)
	}
	return nil
}

// killAtHalf ends cmd by SIGKILL once half of the package is in the file, and
// tells how much is in it then.
func killAtHalf(cmd *exec.Cmd, part string, size int64) (int64, error) {
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		st, err := os.Stat(part)
		if err != nil || st.Size() < size/2 {
			continue
		}
		cmd.Process.Kill()
		cmd.Wait()
		st, err = os.Stat(part)
		if err != nil {
			return 0, fmt.Errorf("otad was done before it could be killed: %w", err)
		}
		return st.Size(), nil
	}
	return 0, fmt.Errorf("half of the package did not come within a minute")
}
