package servers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"otad/testdata/certs"
)

// A product is a server of plain files as Debian ships it.
type product struct {
	name     string
	program  string
	config   string // in conf/
	args     []string
	version  []string
	parseLog func(line string) (request, bool)
}

var products = []product{
	{"nginx", "nginx", "nginx.conf", []string{"-p", "DIR", "-e", "DIR/error.log", "-c", "CONFIG"}, []string{"-v"}, parseLine},
	{"lighttpd", "lighttpd", "lighttpd.conf", []string{"-D", "-f", "CONFIG"}, []string{"-v"}, parseLine},
	// -X: one process, which can be ended by its pid.
	{"Apache", "apache2", "apache.conf", []string{"-X", "-d", "DIR", "-f", "CONFIG"}, []string{"-v"}, parseLine},
	{"Caddy", "caddy", "Caddyfile", []string{"run", "--adapter", "caddyfile", "--config", "CONFIG"}, []string{"version"}, parseCaddy},
}

// parseLine parses the log format of most configurations here.
func parseLine(line string) (request, bool) {
	fields := strings.Split(line, "|")
	if len(fields) != 5 {
		return request{}, false
	}
	for i, f := range fields {
		if f == "-" {
			fields[i] = ""
		}
		fields[i] = strings.NewReplacer(`\"`, `"`, `\x22`, `"`).Replace(fields[i])
	}
	return request{fields[0], fields[1], fields[2], fields[3], fields[4]}, true
}

func parseCaddy(line string) (request, bool) {
	var e struct {
		Status  int
		Request struct {
			URI     string
			Headers http.Header
		}
	}
	if json.Unmarshal([]byte(line), &e) != nil || e.Request.URI == "" {
		return request{}, false
	}
	h := e.Request.Headers
	return request{e.Request.URI, h.Get("User-Agent"), fmt.Sprint(e.Status), h.Get("Range"), h.Get("If-Match")}, true
}

// A fileOrigin is a running server of plain files.
type fileOrigin struct {
	product
	certs.Authority
	Dir, Root          string
	Plain, TLS, Mutual address // Mutual: TLS that requires a client certificate
	Modules            string  // of Apache
	User               string  // that Apache becomes, when root starts it
	NoETag             bool    // answers have none; nginx and Apache only
	server             *process
}

// newFileOrigin starts p on host. The certificate has the host and the further
// names.
func newFileOrigin(t *testing.T, p product, host string, names ...string) *fileOrigin {
	t.Helper()
	listens := freeAddresses(t, host, 3)
	o := &fileOrigin{
		product: p, Authority: newAuthority(t, append(names, host)...), Dir: openDir(t), Root: openDir(t),
		Plain: listens[0], TLS: listens[1], Mutual: listens[2], Modules: "/usr/lib/apache2/modules",
	}
	if os.Getuid() == 0 {
		o.User = "www-data"
	}
	place := strings.NewReplacer("DIR", o.Dir, "CONFIG", configure(t, o.Dir, p.config, o))
	o.server = &process{program: p.program, listens: listens, output: filepath.Join(o.Dir, "output"), env: []string{"HOME=" + o.Dir}}
	for _, arg := range p.args {
		o.server.args = append(o.server.args, place.Replace(arg))
	}
	o.server.start(t)
	return o
}

// restart starts the server again with a new configuration, after a change of
// the fields that it depends on.
func (o *fileOrigin) restart(t *testing.T) {
	t.Helper()
	configure(t, o.Dir, o.config, o)
	o.server.kill()
	o.server.start(t)
}

func (o *fileOrigin) publish(t *testing.T, folder string, p pkg) {
	t.Helper()
	dir := filepath.Join(o.Root, folder)
	check(t, os.MkdirAll(dir, 0o755))
	// Publish without a gap: make another file and rename it.
	beside := filepath.Join(dir, "next")
	check(t, os.Link(p.path, beside))
	check(t, os.Rename(beside, filepath.Join(dir, packageName)))
	eventually(t, "the server shows what was published", func() bool { return shows(t, o.client(), o.url(folder), p) })
}

func target(folder string) string { return "/" + folder + "/" + packageName }

func (o *fileOrigin) url(folder string) string { return "http://" + o.Plain.String() + target(folder) }

func (o *fileOrigin) tlsURL(folder string) string {
	return "https://" + o.TLS.String() + target(folder)
}

func (o *fileOrigin) mutualURL(folder string) string {
	return "https://" + o.Mutual.String() + target(folder)
}

func (o *fileOrigin) flags() []string      { return nil }
func (o *fileOrigin) process() *process    { return o.server }
func (o *fileOrigin) client() *http.Client { return newClient(o.Authority) }

func (o *fileOrigin) requests(t *testing.T, folder string, n int) []request {
	t.Helper()
	return readRequests(t, filepath.Join(o.Dir, "access.log"), target(folder), n, o.parseLog)
}

// release returns the version that the program prints.
func (o *fileOrigin) release(t *testing.T) string { return versionOf(t, o.program, o.version...) }

func versionOf(t *testing.T, program string, args ...string) string {
	t.Helper()
	output, err := exec.Command(lookPath(t, program), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(output))
}
