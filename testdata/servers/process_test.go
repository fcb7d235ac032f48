package servers_test

import (
	"bytes"
	"embed"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"text/template"
	"time"

	"otad/testdata/otadrun"
)

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

//go:embed conf
var conf embed.FS

// An address is where a server listens.
type address struct{ Host, Port string }

func (a address) String() string { return net.JoinHostPort(a.Host, a.Port) }

// freeAddresses returns n addresses that nobody listens on.
func freeAddresses(t *testing.T, host string, n int) []address {
	t.Helper()
	var free []address
	for len(free) < n {
		addr, err := otadrun.FreeAddress(host)
		check(t, err)
		_, port, _ := net.SplitHostPort(addr)
		if a := (address{host, port}); !slices.Contains(free, a) {
			free = append(free, a)
		}
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

	running *otadrun.Process // nil: not started yet
}

// start starts the process and waits until it listens. The test that starts it
// first kills it at its end.
func (p *process) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(t, err)
	defer out.Close()
	cmd := otadrun.Command(lookPath(t, p.program), p.args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	if p.running == nil {
		t.Cleanup(p.kill) // kills the process of the last start
	}
	if p.running, err = otadrun.Start(cmd); err != nil {
		t.Fatal(err)
	}
	for _, a := range p.listens {
		if err := p.running.AwaitListener(a.String(), patience); err != nil {
			output, _ := os.ReadFile(p.output)
			t.Fatalf("%s: %v\n%s", p.program, err, output)
		}
	}
}

// kill kills the process and waits for its end. A second call does nothing.
func (p *process) kill() { p.running.Kill() }

// lookPath also searches /usr/sbin, where Debian has its servers.
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

// configure fills in the template of conf/ with data, and returns the path of
// the result.
func configure(t *testing.T, dir, name string, data any) string {
	t.Helper()
	var text bytes.Buffer
	check(t, template.Must(template.ParseFS(conf, "conf/"+name)).Execute(&text, data))
	path := filepath.Join(dir, name)
	check(t, os.WriteFile(path, text.Bytes(), 0o644))
	return path
}

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until done returns true.
func eventually(t *testing.T, text string, done func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return done(), nil }))
}
