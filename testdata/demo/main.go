// Command demo shows the purpose of otad: a download is killed with SIGKILL in
// the middle and resumes at its last checkpoint. The command starts an origin on
// the loopback, runs ./bin/otad twice, and exits with 1 if a promise is broken.
//
//	go run ./testdata/demo [-otad PROGRAM] [-device]
//
// With -device the package goes straight to a partition instead of a file: a loop
// device as root, else a plain file that stands for one.
//
// It needs the loopback, and 80 MiB in the temporary directory, 160 with -device: the
// package and the space that otad leaves free. It removes its files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

const (
	mib      = 1 << 20
	interval = mib // from one of otad's checkpoints to the next, in bytes
	size     = 64 * mib
	rate     = 8 * mib         // bytes a second
	killAt   = size/2 + mib/2  // bytes served: half of the package, between two checkpoints
	deadline = 2 * time.Minute // for a slow disk; 9 s are usual
)

func main() {
	otad := flag.String("otad", "./bin/otad", "program to run")
	device := flag.Bool("device", false, "the package goes to a device")
	flag.Parse()
	show := demo
	if *device {
		show = onDevice
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not done after %v", deadline))
	err := inTempDir(func(dir string) error { return show(ctx, *otad, dir) })
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // err only reports that the child was killed
	}
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

// inTempDir calls f with a new directory and removes the directory.
func inTempDir(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "otad-demo-")
	if err != nil {
		return err
	}
	return errors.Join(f(dir), os.RemoveAll(dir))
}

func demo(ctx context.Context, otad, dir string) error {
	start := time.Now()
	object := origintest.Object{Size: size, Seed: uint64(start.UnixNano())}
	origin, err := origintest.Start(origintest.Config{Object: object, Link: origintest.Link{BytesPerSecond: rate}})
	if err != nil {
		return err
	}
	defer origin.Close()
	digest := object.MD5()
	say("origin", "%s, %d MiB at %d MiB/s, MD5 %s", origin.URL(), size/mib, rate/mib, digest)

	p := &program{path: otad, args: otadrun.FetchArgs(dir, digest, origin.URL(), "-size", fmt.Sprint(size))}
	served, err := p.killWhen(ctx, origin.Reached(killAt), origin.BytesServed)
	if err != nil {
		return err
	}
	say("SIGKILL", "after %.2f MiB were served", float64(served)/mib)

	before := len(origin.Requests())
	if err := p.finish(ctx); err != nil {
		return err
	}
	after := origin.Requests()[before:]
	if err := checkResume(after, served, origin.ServedTwice()); err != nil {
		return err
	}
	method, err := otadrun.CheckMD5(filepath.Join(dir, filepath.Base(origin.URL())), digest)
	if err != nil {
		return err
	}
	say(method, "%s, as the origin has it", digest)
	if wrong := origin.Misuses(); len(wrong) > 0 {
		return fmt.Errorf("otad misused the origin: %q", wrong)
	}
	say("done", "%.1f s in all", time.Since(start).Seconds())
	return nil
}

// checkResume checks the requests after the kill: the first one has to start at
// a checkpoint, at most two intervals before the end of the served bytes.
func checkResume(requests []origintest.Request, served, twice int64) error {
	if len(requests) == 0 {
		return errors.New("otad finished without a request for the rest")
	}
	var from int64
	if _, err := fmt.Sscanf(requests[0].Range, "bytes=%d-", &from); err != nil {
		return fmt.Errorf("resume with Range %q: %w", requests[0].Range, err)
	}
	say("resume", "at byte %d, checkpoint %d of %d (Range: %s)", from, from/interval, size/interval, requests[0].Range)
	say("twice", "%d bytes (%.2f MiB; promised: at most %d MiB)", twice, float64(twice)/mib, 2*interval/mib)
	switch {
	case from%interval != 0:
		return fmt.Errorf("byte %d is not at a checkpoint", from)
	case from > served:
		return fmt.Errorf("byte %d had not been served yet", from)
	case twice > 2*interval:
		return fmt.Errorf("%d bytes were requested twice, more than two checkpoint intervals", twice)
	}
	return nil
}

// say prints a line, with the subject in a column of its own.
func say(subject, format string, args ...any) {
	fmt.Printf("%-8s %s\n", subject, fmt.Sprintf(format, args...))
}
