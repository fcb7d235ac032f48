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
	if err := start(first); err != nil {
		return err
	}
	stored, err := killAt(first, filepath.Join(state, "package.bin.part"), s.size/2)
	if err != nil {
		return err
	}
	second := s.fetch(state)
	if err := start(second); err != nil {
		return err
	}
	if err := second.Wait(); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	wall := time.Since(begun)
	if err := s.sumAgrees(filepath.Join(state, "package.bin")); err != nil {
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
	fmt.Printf("%d bytes, killed with %d of them stored, resumed at %d: %d stored bytes asked for twice (at most %d)\n",
		s.size, stored, from, stored-from, interval)
	fmt.Printf("wall %.2f s in all, peak RSS %.1f MB, md5sum agrees\n", wall.Seconds(), max(peakRSS(first), peakRSS(second))/1e6)
	if from == 0 || from%interval != 0 || stored-from > interval || stored < from {
		return fmt.Errorf("resumed at %d with %d bytes stored", from, stored)
	}
	return nil
}

// sumAgrees asks md5sum, which owes otad nothing.
func (s *stage) sumAgrees(file string) error {
	check := child("sh", "-c", `echo "$1  $2" | md5sum --check --quiet`, "sh", s.md5, file)
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("md5sum of the package: %w %s", err, out)
	}
	return nil
}

// killAt ends cmd by SIGKILL once n bytes of the package are in the file, and
// tells how many are in it then.
func killAt(cmd *exec.Cmd, part string, n int64) (int64, error) {
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		st, err := os.Stat(part)
		if err != nil || st.Size() < n {
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
	return 0, fmt.Errorf("%d bytes did not come within five minutes", n)
}
