package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"otad/testdata/otadrun"
)

// memory prints the daemon's memory by use during a download, and the costs of
// the collector's settings.
func memory(s *stage, rounds int) error {
	inspected := *s
	binary, err := s.buildWithInspection()
	if err != nil {
		return err
	}
	inspected.otad = []string{binary}
	if err := inspected.printMemory(); err != nil {
		return err
	}
	if err := inspected.printLiveHeap(); err != nil {
		return err
	}
	return s.collectors(rounds)
}

// buildWithInspection builds otad with one more file, and otherwise like the
// product: the pages of the program count.
func (s *stage) buildWithInspection() (string, error) {
	source, err := filepath.Abs("testdata/peers/overlay/answer.go")
	if err != nil {
		return "", err
	}
	target, err := filepath.Abs("answer.go")
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {target: source}})
	if err != nil {
		return "", err
	}
	overlay, binary := filepath.Join(s.dir, "overlay.json"), filepath.Join(s.dir, "otad-answers")
	if err := os.WriteFile(overlay, list, 0o644); err != nil {
		return "", err
	}
	return binary, otadrun.Build{Out: binary, Package: ".", Overlay: overlay}.Run(context.Background())
}

// inspectedDaemon is a daemon that answers questions about its heap.
type inspectedDaemon struct {
	*daemon
	questions *os.File
	answers   *bufio.Scanner
}

func (s *stage) inspectedDaemon(rate string) (*inspectedDaemon, error) {
	asked, questions, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, answered, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	d, err := s.serveJob(func(c *exec.Cmd) {
		c.Env = append(os.Environ(), "ANSWERS_ABOUT_MEMORY=yes", "GODEBUG=memprofilerate="+rate)
		c.ExtraFiles = []*os.File{asked, answered}
	}, "-rate-limit", "40MB")
	asked.Close()
	answered.Close()
	if err != nil {
		return nil, err
	}
	return &inspectedDaemon{d, questions, bufio.NewScanner(answers)}, nil
}

// ask returns the answer to a question (overlay/answer.go).
func (a *inspectedDaemon) ask(question string) (series, error) {
	if _, err := a.questions.WriteString(question); err != nil {
		return nil, err
	}
	m := series{}
	for a.answers.Scan() && a.answers.Text() != "" {
		m.add(a.answers.Text())
	}
	return m, a.answers.Err()
}

// printMemory prints the memory at the moment of the largest RSS.
func (s *stage) printMemory() error {
	a, err := s.inspectedDaemon("0")
	if err != nil {
		return err
	}
	defer a.end()
	var most resident
	var heap series
	if _, err := a.watch(func() error {
		m, err := a.ask("m")
		if err != nil {
			return err
		}
		r, err := residentOf(a.Cmd.Process.Pid, s.otad[0], uint64(m["arena"]))
		if err == nil && r.rss > most.rss {
			most, heap = r, m
		}
		return err
	}); err != nil {
		return err
	}
	peak, err := peakOf(a.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	classes := func(name string) float64 { return heap["/memory/classes/"+name+":bytes"] }
	live, objects, stacks := heap["/gc/heap/live:bytes"], classes("heap/objects"), classes("heap/stacks")
	fmt.Printf("otad serve, %d bytes over TLS at 40 MB/s, /metrics each second, /progress twice a second:\n"+
		"the largest of the looks each 50 ms is %.1f MB, the kernel's peak %.1f MB.\n\n", s.size, most.rss/1e6, peak/1e6)
	fmt.Println("| what | MB |")
	fmt.Println("|---|---|")
	for _, row := range []struct {
		what  string
		bytes float64
	}{
		{"file: pages of the program, which the kernel can drop", most.code},
		{"file: the journal's, and others'", most.files},
		{"heap: alive at the last collection", live},
		{"heap: allocated since then, and not yet collected", max(0, objects-live)},
		{"heap: goroutines' stacks", stacks},
		{"heap: free, or lost between objects", most.heap - objects - stacks},
		{"the transfer's blocks", most.blocks},
		{"the program's variables", most.variables},
		{"the runtime's own data", most.runtimeOwn},
		{"**all of it**", most.rss},
	} {
		fmt.Printf("| %s | %.2f |\n", row.what, row.bytes/1e6)
	}
	return nil
}

// printLiveHeap prints the live heap by allocating function, of a run in which
// the runtime records every allocation.
func (s *stage) printLiveHeap() error {
	a, err := s.inspectedDaemon("1")
	if err != nil {
		return err
	}
	defer a.end()
	var most series
	looks := 0
	if _, err := a.watch(func() error {
		if looks++; looks%20 != 0 {
			return nil
		}
		m, err := a.ask("p")
		if m.sum() > most.sum() {
			most = m
		}
		return err
	}); err != nil {
		return err
	}
	names := make([]string, 0, len(most))
	for name := range most {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(most[b] - most[a]) })
	fmt.Printf("\nAlive at most: %.2f MB, by who allocated it.\n\n| who | MB |\n|---|---|\n", most.sum()/1e6)
	for _, name := range names[:min(15, len(names))] {
		fmt.Printf("| %s | %.2f |\n", name, most[name]/1e6)
	}
	return nil
}

func (m series) sum() (sum float64) {
	for _, v := range m {
		sum += v
	}
	return sum
}
