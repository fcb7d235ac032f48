package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"otad/netio/origintest"
)

const (
	resumeCheckpoint = 64 << 10
	// Bytes of a connection before it ends: a checkpoint and a half, so that
	// the retries count anew and the end is not at a boundary each time.
	resumePiece = resumeCheckpoint + resumeCheckpoint/2
)

// resumes interrupts one daemon n times, and then n processes once each, and
// returns an error if anything grows with their number.
func resumes(s *stage, n int) error {
	if err := s.interruptedConnections(n); err != nil {
		return err
	}
	fmt.Println()
	return s.killedProcesses(n)
}

// marks are the numbers of resumes at which the resources are read.
func marks(n int) []int { return []int{n / 10, n / 2, n} }

// interruptedConnections runs one daemon whose origin resets every connection.
// A newly signed URL ends the wait before a retry, which is a second at least.
func (s *stage) interruptedConnections(n int) error {
	object := origintest.Object{Size: int64(n)*resumePiece + 1<<20, Seed: 3}
	at, o, err := s.generated(object, object.MD5(), origintest.Span(1, n).ResetAfter(resumePiece))
	if err != nil {
		return err
	}
	defer o.Close()
	d, err := at.serve(nil, "-checkpoint", fmt.Sprint(resumeCheckpoint))
	if err != nil {
		return err
	}
	defer d.end()
	fmt.Printf("One daemon, %d connections reset after %d bytes each.\n\n", n, resumePiece)
	fmt.Println("| resumes | RSS MB | peak RSS MB | Go runtime MB | goroutines | threads | open fds | journal bytes |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	begun := time.Now()
	if err := d.post(at.url); err != nil {
		return err
	}
	var seen []series
	for i := range n {
		select {
		case <-o.Reached(int64(i+1) * resumePiece):
		case <-time.After(time.Minute):
			return fmt.Errorf("connection %d did not come", i+1)
		}
		if err := d.post(fmt.Sprintf("%s?signature=%06d", at.url, i)); err != nil {
			return err
		}
		if slices.Contains(marks(n), i+1) {
			m, err := d.resumed(i + 1)
			if err != nil {
				return err
			}
			seen = append(seen, m)
		}
	}
	m, err := d.watch(nil)
	if err != nil {
		return err
	}
	fmt.Printf("\nReady after %.1f s, %.1f ms a resume; %.0f resumes counted, %d bytes requested twice.\n", time.Since(begun).Seconds(),
		ms(time.Since(begun))/float64(n), m.resumes(), o.ServedTwice())
	if got := m.resumes(); got < float64(n) {
		return fmt.Errorf("%.0f resumes instead of %d", got, n)
	}
	return flat(seen)
}

// resumes returns the sum over the causes: the wait may end by itself before
// the new URL arrives.
func (m series) resumes() (sum float64) {
	for _, cause := range []string{"network", "new_url", "restart"} {
		sum += m[fmt.Sprintf("ota_download_resumes_total{cause=%q}", cause)]
	}
	return sum
}

// resumed prints the daemon's resources after a number of resumes.
func (d *daemon) resumed(count int) (series, error) {
	m, err := d.metrics()
	if err != nil {
		return nil, err
	}
	peak, err := peakOf(d.Cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(filepath.Join(d.dir, "journal.db"))
	if err != nil {
		return nil, err
	}
	m["peak"], m["journal"] = peak, float64(st.Size())
	fmt.Printf("| %d | %.1f | %.1f | %.1f | %.0f | %.0f | %.0f | %d |\n", count, m["process_resident_memory_bytes"]/1e6, peak/1e6,
		m["go_memory_classes_total_bytes"]/1e6, m["go_goroutines"], m["go_threads"], m["process_open_fds"], st.Size())
	return m, nil
}

// flat compares the last values with the first.
func flat(seen []series) error {
	first, last := seen[0], seen[len(seen)-1]
	for name, most := range map[string]float64{
		"peak":             1.1 * first["peak"],
		"journal":          first["journal"],
		"go_goroutines":    first["go_goroutines"] + 10, // a connection has some, as long as it lasts
		"process_open_fds": first["process_open_fds"] + 10,
	} {
		if last[name] > most {
			return fmt.Errorf("%s grows with the resumes: %.0f, then %.0f", name, first[name], last[name])
		}
	}
	return nil
}
