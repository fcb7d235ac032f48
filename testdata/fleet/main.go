// Fleet runs hundreds of boards on this machine: otad serve, each a process with a
// state directory of its own, against one origin that fails in the middle of all
// their downloads and against one S3 server. It draws the requests a second, and
// fails if the boards come back in step or if one does not come back.
//
//	go run ./testdata/fleet                       300 boards, an outage of two minutes
//	go run ./testdata/fleet -boards 50 -outage 40s
package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"otad/testdata/otadrun"
)

// rig is the setting of one run.
type rig struct {
	program  string
	boards   int // on the origin
	s3       int // on the S3 server
	outage   time.Duration
	tryAgain string
	size     int64
	before   time.Duration // of download, until the origin fails
	svg      string

	start   time.Time
	content []byte
	sum     string // MD5 of content, in hex
	origin  *origin
	store   *store
	all     []*board
}

func main() {
	r := &rig{start: time.Now()}
	flag.StringVar(&r.program, "otad", "bin/otad", "the `program`")
	flag.IntVar(&r.boards, "boards", 270, "boards on the origin")
	flag.IntVar(&r.s3, "s3", 30, "boards on the S3 server")
	flag.DurationVar(&r.outage, "outage", 2*time.Minute, "how long the origin fails")
	flag.StringVar(&r.tryAgain, "try-again", "10s..1m", "otad's flag; the default of 1h would need an hour here")
	flag.Int64Var(&r.size, "size", 2<<20, "bytes of the package")
	flag.DurationVar(&r.before, "before", 10*time.Second, "download until the origin fails")
	flag.StringVar(&r.svg, "svg", "bin/fleet.svg", "`file` for the picture")
	flag.Parse()
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

func (r *rig) run() error {
	if err := r.enoughMemory(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(memoryDir(), "otad-fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer r.stop()
	if err := r.servers(dir); err != nil {
		return err
	}
	defer r.origin.server.Close()
	if err := r.startBoards(dir); err != nil {
		return err
	}
	began := time.Since(r.start)
	if err := r.postAll(); err != nil {
		return err
	}
	fmt.Printf("%3.0f s: all %d have their job\n", time.Since(r.start).Seconds(), len(r.all))
	r.describeMemory()
	time.Sleep(r.before)
	down := time.Since(r.start)
	r.origin.fail()
	fmt.Printf("%3.0f s: the origin fails\n", down.Seconds())
	time.Sleep(r.outage)
	if _, late, err := r.ready(r.boards); err != nil || len(late) > 0 {
		return fmt.Errorf("the S3 server was well all the time, and %d of its %d boards are not Ready: %v, %v", len(late), r.s3, late, err)
	}
	r.origin.recover()
	up := time.Since(r.start)
	fmt.Printf("%3.0f s: the origin is back; the boards of the S3 server are Ready\n", up.Seconds())
	failed, err := r.awaitReady(5 * time.Minute)
	if err != nil {
		return err
	}
	fmt.Printf("%3.0f s: all are Ready; %d had been Failed and were started again by themselves\n", time.Since(r.start).Seconds(), failed)
	requests, sent := r.origin.seen()
	if err := os.WriteFile(r.svg, chart{requests: requests, from: began, down: down, up: up}.draw(), 0o644); err != nil {
		return err
	}
	return r.judge(requests, sent, down, up)
}

// servers starts the origin and the S3 server.
func (r *rig) servers(dir string) (err error) {
	r.content = make([]byte, r.size)
	rand.NewChaCha8([32]byte{1}).Read(r.content)
	sum := md5.Sum(r.content)
	r.sum = hex.EncodeToString(sum[:])
	// Nobody is done before the origin fails.
	if r.origin, err = newOrigin(r.content, r.size/int64(3*r.before.Seconds()), r.start); err != nil {
		return err
	}
	r.store, err = newStore(filepath.Join(dir, "s3"), r.content)
	return err
}

// startBoards starts them a few at a time: all at once, they would wait for the
// processors and miss their own time limits.
func (r *rig) startBoards(dir string) error {
	r.all = make([]*board, r.boards+r.s3)
	errs := make([]error, len(r.all))
	turns := make(chan struct{}, 4)
	var starts sync.WaitGroup
	for i := range r.all {
		turns <- struct{}{}
		starts.Go(func() {
			defer func() { <-turns }()
			flags := []string{"-try-again", r.tryAgain, "-retry-status", "429,500,502,503,504"} // the README's
			if i >= r.boards {                                                                  // done in the middle of the others' outage
				flags = append(flags, "-rate-limit", fmt.Sprint(r.size/int64((r.before+r.outage/2).Seconds())))
			}
			r.all[i], errs[i] = startBoard(r.program, filepath.Join(dir, fmt.Sprint("board", i)), flags...)
		})
	}
	starts.Wait()
	fmt.Printf("%3.0f s: %d boards run\n", time.Since(r.start).Seconds(), len(r.all))
	return errors.Join(errs...)
}

func (r *rig) postAll() error {
	for i, b := range r.all {
		job := otadrun.Job{Version: "1.2.3", Name: "u.bin", Size: r.size, MD5: r.sum,
			URL: fmt.Sprintf("http://%s/board%d", r.origin.addr, i)}
		if i >= r.boards {
			job.URL = r.store.url()
		}
		if err := b.post(job); err != nil {
			return fmt.Errorf("board %d: %w", i, err)
		}
	}
	return nil
}

// awaitReady waits until every board is Ready by its own journal. It returns how
// many were Failed in between.
func (r *rig) awaitReady(limit time.Duration) (failed int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		var late []string
		failed, late, err = r.ready(0)
		if err != nil || len(late) == 0 {
			return failed, err
		}
		select {
		case <-ctx.Done():
			return failed, fmt.Errorf("%d boards have not come back within %v, such as: %s", len(late), limit, late[0])
		case <-time.After(time.Second):
		}
	}
}

// ready looks at the boards from number from on. It returns how many were Failed at
// some time, and a line for each that is not Ready now.
func (r *rig) ready(from int) (failed int, late []string, err error) {
	for i, b := range r.all[from:] {
		rec, err := b.state()
		if err != nil {
			return 0, nil, fmt.Errorf("board %d: %w", from+i, err)
		}
		if rec.State != "Ready" {
			late = append(late, fmt.Sprintf("board %d is %s: %s", from+i, rec.State, rec.Error))
		}
		if b.wasFailed() {
			failed++
		}
	}
	return failed, late, nil
}

// judge prints the figures and returns an error for those that are too high.
func (r *rig) judge(requests []request, sent int64, down, up time.Duration) error {
	s := spreadOf(requests, down, up)
	refused := 0
	for _, q := range requests {
		if q.failed {
			refused++
		}
	}
	fmt.Printf(`
requests to the origin      %d, of which %d were answered 503
requests to the S3 server   %d, by %d boards
back after the outage       95 %% within %.0f s, the last of %d after %.0f s
busiest %.0f s               %.1f boards a second; %.1f on average until 95 %% are back: %.2f times as many
bytes sent by the origin    %.3f times the packages
picture                     %s
`, len(requests), refused, r.store.requests(), r.s3, s.nearly.Seconds(), s.back, s.last.Seconds(),
		window.Seconds(), s.peak, s.average, s.ratio(), float64(sent)/float64(int64(r.boards)*r.size), r.svg)
	switch {
	case s.back != r.boards:
		return fmt.Errorf("%d of %d boards needed the origin after the outage: make -before shorter", s.back, r.boards)
	case s.ratio() > 2:
		return fmt.Errorf("the boards come back in step: the busiest %v has %.2f times the average, at most 2 are allowed", window, s.ratio())
	}
	return nil
}

// stop ends every process.
func (r *rig) stop() {
	for _, b := range r.all {
		if b != nil {
			b.process.Kill()
		}
	}
	if r.store != nil {
		r.store.process.Kill()
	}
}
