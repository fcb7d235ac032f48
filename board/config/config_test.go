package config_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/board/config"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

const (
	md5    = "d41d8cd98f00b204e9800998ecf8427e"
	sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	link   = "https://origin.example/a/update.zip?signature=SECRET"
)

func parse(t *testing.T, args ...string) *config.Config {
	t.Helper()
	return parseWith(t, nil, args...)
}

func parseWith(t *testing.T, environ []string, args ...string) *config.Config {
	t.Helper()
	c, err := config.Parse(args, environ, io.Discard)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", args, environ, err)
	}
	return c
}

// refuse checks that Parse returns a usage error of one line with these words.
func refuse(t *testing.T, environ, args []string, words ...string) {
	t.Helper()
	c, err := config.Parse(args, environ, io.Discard)
	var usage *config.UsageError
	if !errors.As(err, &usage) || c != nil {
		t.Fatalf("Parse(%q, %q) = %v, %v, want a usage error and nothing else", args, environ, c, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error lacks %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error is longer than a line: %q", err)
	}
}

// file writes a config file and returns its path.
func file(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "otad.conf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	want := config.Config{
		Command:   "serve",
		StateDir:  "/var/lib/otad",
		LogFormat: "text",
		LogLevel:  slog.LevelInfo,
		Listen:    []string{"127.0.0.1:12315"},
		Format:    "mermaid",
		Serve: config.Serve{TryAgain: fsm.TryAgain{First: 10 * time.Second, Longest: time.Hour},
			Install: config.Install{When: "auto", Timeout: 30 * time.Minute, Grace: time.Minute}},
		Source: netio.Config{
			ConnectTimeout: 10 * time.Second,
			HeaderTimeout:  30 * time.Second,
			ReadTimeout:    300 * time.Second,
			RetryAfterMax:  5 * time.Minute,
			MinRate:        100,
			TLSMin:         tls.VersionTLS12,
		},
		Machine: fsm.Config{
			Checkpoint:  1 << 20,
			Flush:       30 * time.Second,
			Retries:     3,
			NetworkWait: 10 * time.Minute,
			MinFree:     16 << 20,
			Keep:        2,
		},
	}
	if got := parse(t, "serve"); !reflect.DeepEqual(*got, want) {
		t.Errorf("serve:\n got %+v\nwant %+v", *got, want)
	}
	want.Command = "fetch"
	want.Machine.NetworkWait = 0
	want.Fetch = config.Fetch{Job: journal.Job{URL: link, MD5: md5, Name: "update.zip"}}
	if got := parse(t, "fetch", "-md5", md5, link); !reflect.DeepEqual(*got, want) {
		t.Errorf("fetch:\n got %+v\nwant %+v", *got, want)
	}
}

// everyFlag is one legal setting for each flag, and the field that must hold it.
var everyFlag = []struct {
	command, name, text string
	field               func(*config.Config) any
	want                any
}{
	{"serve", "state-dir", "/data", func(c *config.Config) any { return c.StateDir }, "/data"},
	{"serve", "log-format", "json", func(c *config.Config) any { return c.LogFormat }, "json"},
	{"fetch", "log-level", "debug", func(c *config.Config) any { return c.LogLevel }, slog.LevelDebug},
	{"serve", "listen", ":0", func(c *config.Config) any { return c.Listen }, []string{":0"}},
	{"status", "listen", "[::1]:80", func(c *config.Config) any { return c.Listen }, []string{"[::1]:80"}},
	{"serve", "listen", "127.0.0.1:1 unix:/run/a.sock, [::1]:2", func(c *config.Config) any { return c.Listen },
		[]string{"127.0.0.1:1", "unix:/run/a.sock", "[::1]:2"}},
	{"serve", "checkpoint", "64MiB", func(c *config.Config) any { return c.Machine.Checkpoint }, int64(64 << 20)},
	{"fetch", "checkpoint", "65536", func(c *config.Config) any { return c.Machine.Checkpoint }, int64(65536)},
	{"serve", "checkpoint-interval", "1s", func(c *config.Config) any { return c.Machine.Flush }, time.Second},
	{"fetch", "checkpoint-interval", "0", func(c *config.Config) any { return c.Machine.Flush }, time.Duration(0)},
	{"fetch", "retries", "0", func(c *config.Config) any { return c.Machine.Retries }, 0},
	{"serve", "connect-timeout", "1s", func(c *config.Config) any { return c.Source.ConnectTimeout }, time.Second},
	{"serve", "header-timeout", "2s", func(c *config.Config) any { return c.Source.HeaderTimeout }, 2 * time.Second},
	{"serve", "read-timeout", "1m30s", func(c *config.Config) any { return c.Source.ReadTimeout }, 90 * time.Second},
	{"serve", "network-wait", "0", func(c *config.Config) any { return c.Machine.NetworkWait }, time.Duration(0)},
	{"serve", "retry-status", "503, 429,503", func(c *config.Config) any { return c.Source.RetryStatus }, []int{429, 503}},
	{"serve", "retry-after-max", "1h", func(c *config.Config) any { return c.Source.RetryAfterMax }, time.Hour},
	{"serve", "rate-limit", "1.5MB", func(c *config.Config) any { return c.Source.RateLimit }, int64(1_500_000)},
	{"serve", "min-rate", "1KiB", func(c *config.Config) any { return c.Source.MinRate }, int64(1024)},
	{"serve", "tls-min", "1.3", func(c *config.Config) any { return c.Source.TLSMin }, uint16(tls.VersionTLS13)},
	{"fetch", "tls-min", "1.2", func(c *config.Config) any { return c.Source.TLSMin }, uint16(tls.VersionTLS12)},
	{"fetch", "min-rate", "0", func(c *config.Config) any { return c.Source.MinRate }, int64(0)},
	{"serve", "hold-file", "/run/hold", func(c *config.Config) any { return c.HoldFile }, "/run/hold"},
	{"serve", "header-file", "/header", func(c *config.Config) any { return c.HeaderFile }, "/header"},
	{"serve", "min-free", "0", func(c *config.Config) any { return c.Machine.MinFree }, int64(0)},
	{"serve", "keep", "0", func(c *config.Config) any { return c.Machine.Keep }, 0},
	{"fetch", "keep", "all", func(c *config.Config) any { return c.Machine.Keep }, fsm.KeepAll},
	{"serve", "max-size", "2GB", func(c *config.Config) any { return c.Machine.MaxSize }, int64(2e9)},
	{"serve", "allow-http", "true", func(c *config.Config) any { return c.Source.AllowHTTP }, true},
	{"serve", "ca-file", "/ca.pem", func(c *config.Config) any { return c.Source.CAFile }, "/ca.pem"},
	{"serve", "trusted-key", "/a.pub", func(c *config.Config) any { return c.TrustedKeys }, []string{"/a.pub"}},
	{"serve", "readback", "1", func(c *config.Config) any { return c.Machine.Readback }, true},
	{"serve", "try-again", "1m..2h", func(c *config.Config) any { return c.Serve.TryAgain }, fsm.TryAgain{First: time.Minute, Longest: 2 * time.Hour}},
	{"serve", "try-again", "1s", func(c *config.Config) any { return c.Serve.TryAgain }, fsm.TryAgain{First: time.Second, Longest: time.Second}},
	{"serve", "try-again", "off", func(c *config.Config) any { return c.Serve.TryAgain }, fsm.TryAgain{}},
	{"serve", "metrics-listen", "0.0.0.0:9100", func(c *config.Config) any { return c.Serve.MetricsListen }, "0.0.0.0:9100"},
	{"serve", "metrics-file", "/m.prom", func(c *config.Config) any { return c.Serve.MetricsFile }, "/m.prom"},
	{"serve", "callback-url", "http://127.0.0.1:8080/cb", func(c *config.Config) any { return c.Serve.CallbackURL }, "http://127.0.0.1:8080/cb"},
	{"serve", "callback-token-file", "/cb", func(c *config.Config) any { return c.Serve.CallbackTokenFile }, "/cb"},
	{"serve", "token-file", "/token", func(c *config.Config) any { return c.Serve.TokenFile }, "/token"},
	{"fetch", "md5", strings.ToUpper(md5), func(c *config.Config) any { return c.Fetch.Job.MD5 }, md5},
	{"fetch", "sha256", sha256, func(c *config.Config) any { return c.Fetch.Job.SHA256 }, sha256},
	{"fetch", "size", "500MB", func(c *config.Config) any { return c.Fetch.Job.Size }, int64(500_000_000)},
	{"fetch", "name", "other name.zip", func(c *config.Config) any { return c.Fetch.Job.Name }, "other name.zip"},
	{"fetch", "version", "10.20.30", func(c *config.Config) any { return c.Fetch.Job.Version }, "10.20.30"},
	{"fetch", "output", "/dev/sda2", func(c *config.Config) any { return c.Fetch.Job.Output }, "/dev/sda2"},
	{"serve", "output", "b=/dev/sda2", func(c *config.Config) any { return c.Output.Devices() }, []string{"/dev/sda2"}},
	{"fetch", "replace", "true", func(c *config.Config) any { return c.Fetch.Replace }, true},
	{"fetch", "quiet", "T", func(c *config.Config) any { return c.Fetch.Quiet }, true},
	{"status", "json", "true", func(c *config.Config) any { return c.StatusJSON }, true},
	{"status", "watch", "true", func(c *config.Config) any { return c.Watch }, true},
	{"graph", "format", "dot", func(c *config.Config) any { return c.Format }, "dot"},
}

// command returns a complete command line of the given command.
func command(name string) []string {
	if name == "fetch" {
		return []string{"fetch", link, "-sha256", sha256}
	}
	return []string{name}
}

func TestEveryFlagArrivesFromEverySource(t *testing.T) {
	for _, test := range everyFlag {
		t.Run(test.command+" "+test.name, func(t *testing.T) {
			args := command(test.command)
			variable := "OTAD_" + strings.ToUpper(strings.ReplaceAll(test.name, "-", "_")) + "=" + test.text
			for source, c := range map[string]*config.Config{
				"flag":        parse(t, append(args, "-"+test.name+"="+test.text)...),
				"environment": parseWith(t, []string{variable}, args...),
				"file":        parse(t, append(args, "-config", file(t, test.name+" "+test.text))...),
			} {
				if got := test.field(c); !reflect.DeepEqual(got, test.want) {
					t.Errorf("from the %s: got %v, want %v", source, got, test.want)
				}
			}
		})
	}
}

// A flag that is added to the table must be added to the test above.
func TestEveryFlagIsTested(t *testing.T) {
	tested := map[string]bool{"config": true, "client-cert": true, "client-key": true, "url-file": true, "min-version": true, "signature": true} // in tests of their own
	for _, name := range []string{"on-ready", "on-ready-timeout", "on-ready-grace", "install", "ready-max-age"} {
		tested[name] = true
	}
	for _, test := range everyFlag {
		tested[test.name] = true
	}
	for line := range strings.Lines(help(t, "help", "-markdown")) {
		if cell, found := strings.CutPrefix(line, "| `-"); found {
			if name := strings.FieldsFunc(cell, func(r rune) bool { return r == ' ' || r == '`' })[0]; !tested[name] {
				t.Errorf("-%s is not tested", name)
			}
		}
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := file(t, "retries 1", "checkpoint 2MiB", "min-free 3MiB")
	environ := []string{"HOME=/root", "OTAD_CONFIG=" + path, "OTAD_CHECKPOINT=4MiB", "OTAD_MIN_FREE=5MiB"}
	got := parseWith(t, environ, "serve", "-min-free", "6MiB")
	if got.Machine.Retries != 1 || got.Machine.Checkpoint != 4<<20 || got.Machine.MinFree != 6<<20 {
		t.Errorf("got %+v", got)
	}
	other := file(t, "retries 7")
	if got := parseWith(t, environ, "serve", "-config", other); got.Machine.Retries != 7 {
		t.Errorf("-config does not win over OTAD_CONFIG: %+v", got)
	}
	if got := parseWith(t, []string{"OTAD_ALLOW_HTTP=true"}, "serve", "-allow-http=false"); got.Source.AllowHTTP {
		t.Error("-allow-http=false does not win over the environment")
	}
	if got := parseWith(t, []string{"OTAD_RETRY_STATUS=500"}, "serve", "-retry-status", "429"); !reflect.DeepEqual(got.Source.RetryStatus, []int{429}) {
		t.Errorf("the lists are mixed: %v", got.Source.RetryStatus)
	}
}

// One source may hold several addresses; those of a weaker source do not count.
func TestListenMayBeGivenMoreThanOnce(t *testing.T) {
	path := file(t, "listen 127.0.0.1:1", "# and", "listen unix:/run/a.sock")
	for _, tt := range []struct {
		environ, args []string
		want          []string
	}{
		{nil, []string{"-listen", ":1", "-listen=unix:/a", "-listen", ":2"}, []string{":1", "unix:/a", ":2"}},
		{nil, []string{"-config", path}, []string{"127.0.0.1:1", "unix:/run/a.sock"}},
		{[]string{"OTAD_LISTEN=:3 :4"}, []string{"-config", path}, []string{":3", ":4"}},
		{[]string{"OTAD_LISTEN=:3 :4"}, []string{"-config", path, "-listen", ":5"}, []string{":5"}},
	} {
		for _, command := range []string{"serve", "status"} {
			if got := parseWith(t, tt.environ, append([]string{command}, tt.args...)...).Listen; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%q %q: %q, want %q", tt.environ, tt.args, got, tt.want)
			}
		}
	}
}

func TestFlagsStandOnBothSidesOfTheURL(t *testing.T) {
	for _, args := range [][]string{
		{"fetch", "-md5", md5, "-replace", link},
		{"fetch", link, "-md5", md5, "-replace"},
		{"fetch", "-replace", link, "-md5", md5},
		{"fetch", "--replace", "--md5=" + md5, "--", link},
	} {
		got := parse(t, args...)
		if got.Fetch.Job.URL != link || got.Fetch.Job.MD5 != md5 || !got.Fetch.Replace {
			t.Errorf("%q: got %+v", args, got.Fetch)
		}
	}
}

func TestAllAfterTwoDashesIsNoFlag(t *testing.T) {
	if got := parse(t, "fetch", "-md5", md5, "-name", "u.zip", "--", "-quiet").Fetch; got.Job.URL != "-quiet" || got.Quiet {
		t.Errorf("got %+v", got)
	}
	refuse(t, nil, []string{"fetch", "-md5", md5, "--", link, "-quiet"}, "exactly one URL")
}

func TestURLMayBeInAFile(t *testing.T) {
	got := parse(t, "fetch", "-md5", md5, "-url-file", "-").Fetch
	if got.URLFile != "-" || got.Job.URL != "" || got.Job.Name != "" {
		t.Errorf("got %+v", got)
	}
	if got = parse(t, "fetch", "-md5", md5, "-url-file", "/url", "-name", "u.zip").Fetch; got.URLFile != "/url" || got.Job.Name != "u.zip" {
		t.Errorf("got %+v", got)
	}
	if got = parseWith(t, []string{"OTAD_URL_FILE=/url"}, "fetch", "-md5", md5).Fetch; got.URLFile != "/url" {
		t.Errorf("got %+v", got)
	}
	if got = parse(t, "fetch", "-md5", md5, "-config", file(t, "url-file /url")).Fetch; got.URLFile != "/url" {
		t.Errorf("got %+v", got)
	}
	// The command line wins over the environment.
	if got = parseWith(t, []string{"OTAD_URL_FILE=/url"}, "fetch", "-md5", md5, link).Fetch; got.URLFile != "" || got.Job.URL != link {
		t.Errorf("got %+v", got)
	}
	refuse(t, nil, []string{"fetch", "-md5", md5, "-url-file", "/url", link}, "a URL or -url-file, got both")
	refuse(t, nil, []string{"fetch", "-md5", md5, "-url-file", ""}, "needs a URL", "-url-file")
	refuse(t, nil, []string{"fetch", "-url-file", "/url"}, "-md5 or -sha256")
}

func TestClientCertificateIsAPair(t *testing.T) {
	got := parse(t, "serve", "-client-cert", "c.pem", "-client-key", "c.key").Source
	if got.ClientCert != "c.pem" || got.ClientKey != "c.key" {
		t.Errorf("got %q, %q", got.ClientCert, got.ClientKey)
	}
}

func TestUnknownEnvironmentVariable(t *testing.T) {
	for _, args := range [][]string{{"check-config"}, command("fetch")} {
		refuse(t, []string{"OTAD_READ_TIMEOUTS=1s"}, args, "OTAD_READ_TIMEOUTS", "did you mean OTAD_READ_TIMEOUT?")
	}
	refuse(t, []string{"OTAD_PASSWORD=secret"}, []string{"status"}, "unknown environment variable OTAD_PASSWORD")
	parseWith(t, []string{"OTADX=1", "NOT_OTAD_=1", "odd"}, "serve")
	parseWith(t, []string{"OTAD_MD5=" + md5}, "serve") // of another command: shared
}

func TestVersionNeedsNoValidSettings(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"-version"}, {"--version"}} {
		if got := parseWith(t, []string{"OTAD_NONSENSE=1", "OTAD_CONFIG=/nowhere"}, args...); got.Command != "version" {
			t.Errorf("%q: got command %q", args, got.Command)
		}
	}
}

// A newer otad's settings, or a container's service links, must not keep a
// daemon from starting.
func TestServeIgnoresUnknownNames(t *testing.T) {
	path := file(t, "retries 5", "retrys 3", "keen", "https://h/?key=SECRET 1", "min-free 3MiB")
	got := parseWith(t, []string{"OTAD_PORT=tcp://10.0.0.1:80", "OTAD_RETRIES=7", "OTAD_READ_TIMEOUTS=1s"}, "serve", "-config", path)
	if got.Machine.Retries != 7 || got.Machine.MinFree != 3<<20 {
		t.Errorf("the settings that are known: %+v", got.Machine)
	}
	want := []string{"unknown environment variable OTAD_PORT", "unknown environment variable OTAD_READ_TIMEOUTS, did you mean OTAD_READ_TIMEOUT?",
		path + ":2: unknown key, got \"retrys\", did you mean retries?", path + ":3: unknown key, got \"keen\", did you mean keep?", path + ":4: unknown key, got a URL"}
	if !slices.Equal(got.Warnings, want) {
		t.Errorf("warnings\n got %q\nwant %q", got.Warnings, want)
	}
	// What is known has to be right, and so has the command line.
	refuse(t, nil, []string{"serve", "-config", file(t, "new 1", "retries x")}, ":2: retries: want")
	refuse(t, nil, []string{"serve", "-retrys", "3"}, "unknown flag -retrys")
}

func TestCheckConfigTakesTheFileOfEveryCommand(t *testing.T) {
	path := file(t, "retries 5", "md5 "+md5, "json", "callback-url http://127.0.0.1/")
	if got := parse(t, "check-config", "-config", path); got.Command != "check-config" || got.Machine.Retries != 5 || got.Warnings != nil {
		t.Errorf("got %+v", got)
	}
	refuse(t, nil, []string{"check-config", "-config", file(t, "client-cert /c.pem")}, "-client-key")
}
