package boards

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Child prepares a process that does not outlive the rig, whatever ends the rig.
func Child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Kill ends a child at once and waits until it is gone; nil is fine.
func Kill(cmd *exec.Cmd) {
	if cmd == nil || cmd.Process == nil {
		return
	}
	_ = cmd.Process.Kill() // an error says that it is dead already
	_ = cmd.Wait()         // and this one says how
}

// Compile builds the program in folder for an architecture, or for this machine
// when that is "host", in the way otad is built.
func Compile(ctx context.Context, arch, out, folder string, flags ...string) error {
	goarch, ok := map[string]string{"host": "", "amd64": "amd64", "arm64": "arm64", "armhf": "arm"}[arch]
	if !ok {
		return fmt.Errorf("no such board: %s", arch)
	}
	args := append([]string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", out}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, folder)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARM=7", "GOARCH="+goarch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w", folder, arch, err)
	}
	return nil
}
