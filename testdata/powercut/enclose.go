package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/boards"
)

// outside builds otad and runs this program again in a mount and a network
// namespace of its own. Its mounts and loop devices vanish when the last
// process in them ends, all its ports are free, and it reaches only its own
// loopback.
func outside(ctx context.Context, o options) int {
	dir, err := os.MkdirTemp("", "otad-powercut-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if o.otad == "" {
		o.otad = filepath.Join(dir, "otad")
		if err := build(ctx, o, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			_ = os.RemoveAll(dir)
			return 2
		}
	}
	code := enclose(ctx, append(os.Args[1:], "-inside", dir, "-otad", o.otad, "-seed", fmt.Sprint(o.seed)))
	if code == 0 {
		_ = os.RemoveAll(dir)
	} else {
		fmt.Printf("  the disk and the logs are in %s\n", dir)
	}
	return code
}

func enclose(ctx context.Context, args []string) int {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintf(os.Stderr, "enter namespaces (root is needed): %v\n", err)
		return 2
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 2 // ended by a signal
}

// bringUpLoopback enables the loopback of a new network namespace and gives its
// sockets small buffers: bytes in them at a power cut were sent by the origin
// and never seen by otad.
func bringUpLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring up the loopback: %w", err)
	}
	for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte("4096 32768 32768"), 0); err != nil {
			return err
		}
	}
	return nil
}

// build compiles the otad of the current directory for the board, with the fault
// of the flag -break.
func build(ctx context.Context, o options, dir string) (err error) {
	list := ""
	if o.fault != "" {
		if list, err = overlay(dir, o.fault); err != nil {
			return err
		}
	}
	return boards.Compile(ctx, o.board, o.otad, ".", list)
}
