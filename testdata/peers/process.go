package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/otadrun"
)

func (s *stage) fetch(state string, flags ...string) *exec.Cmd {
	return s.fetchFrom(s.url, state, flags...)
}

func (s *stage) fetchFrom(url, state string, flags ...string) *exec.Cmd {
	flags = append([]string{"-quiet", "-size", strconv.FormatInt(s.size, 10)}, flags...)
	if s.ca != "" {
		flags = append(flags, "-ca-file", s.ca)
	}
	return s.command(otadrun.FetchArgs(state, s.md5, url, flags...)...)
}

// command returns otad with arguments.
func (s *stage) command(args ...string) *exec.Cmd {
	return otadrun.Command(s.otad[0], append(slices.Clone(s.otad[1:]), args...)...)
}

// start starts a command whose peak memory will be read.
func start(c *exec.Cmd) (*otadrun.Process, error) {
	if err := shrink(); err != nil {
		return nil, err
	}
	return otadrun.Start(c)
}

// shrink returns as much memory as possible to the kernel. The kernel counts the
// memory of this process as the child's too, because for a moment they are the
// same process.
func shrink() error {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// cost is the cost of a run: seconds, and bytes of memory and of the block layer.
type cost struct{ wall, cpu, rss, written float64 }

// measure runs the commands one after another and returns the sum of their
// costs.
func (s *stage) measure(cmds []*exec.Cmd) (cost, error) {
	var k cost
	if err := s.settle(); err != nil {
		return k, err
	}
	if err := shrink(); err != nil {
		return k, err
	}
	begun := time.Now()
	for _, c := range cmds {
		if err := c.Start(); err != nil {
			return k, err
		}
		// Read /proc before the ended process is reaped.
		if err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			return k, err
		}
		k.written += writtenBy(c.Process.Pid)
		if err := c.Wait(); err != nil {
			return k, fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
		}
		k.cpu += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
		k.rss = max(k.rss, peakRSS(c))
	}
	k.wall = time.Since(begun).Seconds()
	return k, nil
}

// settle waits until the data of earlier runs is on the disk, so that the next
// run does not pay for it. It syncs its own file system only: sync(2) waits for
// all file systems of the machine, also for one that never answers again.
func (s *stage) settle() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// writtenBy returns the bytes that a process and its children have sent to the
// block layer.
func writtenBy(pid int) float64 {
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(io), "\nwrite_bytes: ")
	line, _, _ := strings.Cut(after, "\n")
	n, _ := strconv.ParseFloat(line, 64)
	return n
}

// peakRSS returns the peak memory in bytes of an ended command and of the
// children that it waited for.
func peakRSS(c *exec.Cmd) float64 {
	u, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return float64(u.Maxrss) * 1024
}

// peakOf returns the peak memory in bytes of a process that still runs.
func peakOf(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "\nVmHWM:")
	var kb float64
	_, err = fmt.Sscan(after, &kb)
	return kb * 1024, err
}
