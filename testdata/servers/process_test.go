package servers_test

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// patience is how long anything here is waited for, on a machine that may have
// more to do.
const patience = 60 * time.Second

//go:embed conf
var conf embed.FS

// An address is where a server listens.
type address struct {
	Host string
	Port int
}

func (a address) String() string { return fmt.Sprintf("%s:%d", a.Host, a.Port) }

// freeAddresses finds n ports that nobody listens on.
func freeAddresses(t *testing.T, host string, n int) []address {
	t.Helper()
	var free []address
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before all are chosen: no port twice
		free = append(free, address{host, l.Addr().(*net.TCPAddr).Port})
	}
	return free
}

// A process is a server that can be killed and started again.
type process struct {
	program string
	args    []string
	env     []string // beside PATH
	listens []address
	output  string // file for stdout and stderr

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// start returns when the process listens. It is ended with the test that starts
// it first.
func (p *process) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	first := p.cmd == nil
	p.cmd = child(lookPath(t, p.program), p.args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone, cmd := make(chan struct{}), p.cmd
	p.gone = gone
	go func() {
		cmd.Wait()
		close(gone)
	}()
	if first {
		t.Cleanup(p.kill) // whichever cmd it is then
	}
	for _, a := range p.listens {
		p.await(t, a)
	}
}

func (p *process) await(t *testing.T, a address) {
	t.Helper()
	eventually(t, p.program+" listens on "+a.String(), func() bool {
		select {
		case <-p.gone:
			said, _ := os.ReadFile(p.output)
			t.Fatalf("%s has ended: %s", p.program, said)
		default:
		}
		c, err := net.Dial("tcp", a.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// kill ends the process and returns when it is gone. A second call does nothing.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.gone
}

// child is a command that does not outlive this process.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// lookPath also looks where Debian has its servers, which is not in everyone's
// PATH.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: make test-servers installs it", program)
	return ""
}

// configure writes the template of conf/ filled in with data, and returns where.
func configure(t *testing.T, dir, name string, data any) string {
	t.Helper()
	var text bytes.Buffer
	if err := template.Must(template.ParseFS(conf, "conf/"+name)).Execute(&text, data); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually waits for what another process is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
