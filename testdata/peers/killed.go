package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"otad/netio/origintest"
)

// killedProcesses runs a process for each resume, kills it as soon as the journal
// has another checkpoint, and runs one more process that ends by itself.
func (s *stage) killedProcesses(n int) error {
	const piece = 5 * resumeCheckpoint // of which a process stores three at least before it is killed
	object := origintest.Object{Size: int64(n)*piece + 1<<20, Seed: 4}
	at, o, err := s.generated(object, object.MD5(), origintest.Span(1, n).StallAfter(piece))
	if err != nil {
		return err
	}
	defer o.Close()
	dir, err := os.MkdirTemp(s.dir, "killed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("%d processes, each killed when it has stored another checkpoint.\n\n", n)
	fmt.Println("| processes | offset | of the last tenth: peak RSS MB, median | largest | ms from start to kill, median | journal bytes |")
	fmt.Println("|---|---|---|---|---|---|")
	begun := time.Now()
	var killed []runCost
	var tenths []float64 // medians of the peaks
	var stored int64
	for i := range n {
		// A process that has stored the third of three intervals has the first in the journal.
		c, err := at.fetchKilled(dir, stored+3*resumeCheckpoint, "-checkpoint", fmt.Sprint(resumeCheckpoint))
		if err != nil {
			return fmt.Errorf("process %d: %w", i+1, err)
		}
		killed, stored = append(killed, c), c.stored
		if slices.Contains(marks(n), i+1) {
			peak, err := printLast(killed, dir, n/10)
			if err != nil {
				return err
			}
			tenths = append(tenths, peak)
		}
	}
	if _, err := at.fetchKilled(dir, 0, "-checkpoint", fmt.Sprint(resumeCheckpoint)); err != nil {
		return fmt.Errorf("the last process: %w", err)
	}
	again, err := askedAgain(o.Requests(), killed)
	if err != nil {
		return err
	}
	fmt.Printf("\nReady after %.1f s; %d stored bytes requested twice at most (interval %d).\n", time.Since(begun).Seconds(), again, resumeCheckpoint)
	if first, last := tenths[0], tenths[len(tenths)-1]; last > 1.1*first {
		return fmt.Errorf("the peak grows with the resumes: %.0f, then %.0f", first, last)
	}
	return at.checkMD5(dir)
}

// printLast prints a row for the last processes and returns the median of their
// peaks.
func printLast(all []runCost, dir string, last int) (float64, error) {
	var costs []cost
	var largest float64
	for _, l := range all[len(all)-last:] {
		costs, largest = append(costs, l.cost), max(largest, l.rss)
	}
	st, err := os.Stat(filepath.Join(dir, "journal.db"))
	if err != nil {
		return 0, err
	}
	fmt.Printf("| %d | %d | %.1f | %.1f | %.1f | %d |\n", len(all), all[len(all)-1].stored, median(costs, rss)/1e6, largest/1e6, 1e3*median(costs, wall), st.Size())
	return median(costs, rss), nil
}

// askedAgain returns the largest number of stored bytes that one process
// requested again.
func askedAgain(asked []origintest.Request, killed []runCost) (most int64, err error) {
	if len(asked) != len(killed)+1 {
		return 0, fmt.Errorf("%d requests of %d processes", len(asked), len(killed)+1)
	}
	for i, l := range killed {
		again := l.stored - asked[i+1].Start
		if again < 0 || again > 2*resumeCheckpoint {
			return 0, fmt.Errorf("resumed at %d with %d bytes stored", asked[i+1].Start, l.stored)
		}
		most = max(most, again)
	}
	return most, nil
}
