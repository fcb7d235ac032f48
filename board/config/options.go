package config

import (
	"crypto/tls"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// option is one flag, wherever it is set.
type option struct {
	name  string // as on the command line, without the dash
	arg   string // placeholder of the value in help texts, "" for a boolean
	in    string // the commands that take it, separated by a space
	value value
	help  string
}

func (o option) isBool() bool { return o.arg == "" }

// commands returns the commands that take o.
func (o option) commands() []string { return strings.Fields(o.in) }

// variable is the name of o in the environment.
func (o option) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

const envPrefix = "OTAD_"

// The commands that take an option.
const (
	inAll      = "serve fetch status graph check-config"
	inCommon   = "serve fetch status"
	inTransfer = "serve fetch"
	inDaemon   = "serve status"
	inServe    = "serve"
	inFetch    = "fetch"
	inStatus   = "status"
	inGraph    = "graph"
)

// defaults returns the settings of a run of command that sets none.
func defaults(command string) *Config {
	c := &Config{
		Command:   command,
		StateDir:  "/var/lib/otad",
		LogFormat: "text",
		LogLevel:  slog.LevelInfo,
		Listen:    []string{"127.0.0.1:12315"},
		Format:    "mermaid",
		Serve:     Serve{TryAgain: fsm.TryAgain{First: 10 * time.Second, Longest: time.Hour}, Install: defaultInstall()},
		Source: netio.Config{
			ConnectTimeout: netio.DefaultConnectTimeout,
			HeaderTimeout:  netio.DefaultHeaderTimeout,
			ReadTimeout:    netio.DefaultReadTimeout,
			RetryAfterMax:  5 * time.Minute,
			MinRate:        100,
			TLSMin:         tls.VersionTLS12,
		},
		Machine: fsm.Config{Checkpoint: 1 << 20, Flush: 30 * time.Second, Retries: 3, MinFree: 16 << 20, Keep: 2},
	}
	if command == serveCommand {
		// A board may boot before its modem. A person who runs fetch sees the error.
		c.Machine.NetworkWait = 10 * time.Minute
	}
	return c
}

// options returns all flags, bound to the fields of c, in the order of the help
// texts.
func options(c *Config) []option {
	return slices.Concat(commonOptions(c), transferOptions(c), serveOptions(&c.Serve), installOptions(&c.Serve.Install), fetchOptions(&c.Fetch), []option{
		{"json", "", inStatus, boolean(&c.StatusJSON), "print JSON"},
		{"watch", "", inStatus, boolean(&c.Watch), "go on until the job is Ready or has failed for good: a live line on a terminal, else a line for each change"},
		{"format", "FORMAT", inGraph, choice(&c.Format, "mermaid", "dot"), "mermaid or dot (Graphviz)"},
	})
}

func commonOptions(c *Config) []option {
	return []option{
		{"config", "FILE", inAll, text(new(string)), "file with one \"name value\" a line for the flags that are not given otherwise"},
		{"state-dir", "DIR", inCommon, given{directory(&c.StateDir), &c.DirGiven}, "directory of the journal, the partial file and the package, in which only otad's user may write"},
		{"log-format", "FORMAT", inCommon, choice(&c.LogFormat, "text", "json"), "text or json, on stderr"},
		{"log-level", "LEVEL", inCommon, level(&c.LogLevel), "least level to log: debug, info, warn or error"},
		{"listen", "ADDRESS", inDaemon, addresses{&c.Listen}, "HOST:PORT or unix:PATH of the daemon's API; may be given more than once"},
	}
}

func transferOptions(c *Config) []option {
	s, m := &c.Source, &c.Machine
	return []option{
		{"checkpoint", "SIZE", inTransfer, size(&m.Checkpoint, 64<<10, 64<<20), "bytes from one durable checkpoint to the next, 64KiB to 64MiB"},
		{"checkpoint-interval", "DURATION", inTransfer, offOr(time.Second, &m.Flush), "longest time of transfer between two checkpoints, 0 for no limit"},
		{"retries", "N", inTransfer, integer(&m.Retries, 0, 1_000_000), "tries after the first one; counted anew once another checkpoint is reached"},
		{"connect-timeout", "DURATION", inTransfer, duration(&s.ConnectTimeout, 1), "longest wait for a connection"},
		{"header-timeout", "DURATION", inTransfer, duration(&s.HeaderTimeout, 1), "longest wait for the header of an answer"},
		{"read-timeout", "DURATION", inTransfer, duration(&s.ReadTimeout, 1), "longest wait between two bytes of the package"},
		{"network-wait", "DURATION", inTransfer, duration(&m.NetworkWait, 0), "longest wait for a network (route, DNS) to appear"},
		{"retry-status", "LIST", inTransfer, statuses(&s.RetryStatus), "HTTP statuses to try again, such as 429,500,502,503,504"},
		{"retry-after-max", "DURATION", inTransfer, duration(&s.RetryAfterMax, 0), "longest wait that an answer's Retry-After may ask for"},
		{"rate-limit", "SIZE", inTransfer, rate(&s.RateLimit), "bytes a second, 0 for no limit"},
		{"min-rate", "SIZE", inTransfer, size(&c.Source.MinRate, 0, math.MaxInt64), "bytes a second; a transfer that is slower for the -read-timeout is broken off; 0 for none"},
		{"hold-file", "FILE", inTransfer, text(&c.HoldFile), "no request is made while this file exists"},
		{"min-free", "SIZE", inTransfer, size(&m.MinFree, 0, math.MaxInt64), "bytes to leave free on the file system"},
		{"keep", "N", inTransfer, keep(&m.Keep), "earlier packages that stay when a new one needs their room, 0 to 64 or all"},
		{"max-size", "SIZE", inTransfer, size(&m.MaxSize, 0, math.MaxInt64), "most bytes of a package whose job has no size, 0 for no limit"},
		{"allow-http", "", inTransfer, boolean(&s.AllowHTTP), "allow plain http, which is otherwise refused but to localhost and loopback addresses"},
		{"header-file", "FILE", inTransfer, text(&c.HeaderFile), "file with one \"Name: value\" a line for the requests to the URL's own host; mode 0600"},
		{"ca-file", "FILE", inTransfer, text(&s.CAFile), "PEM file of the roots to trust instead of the system's"},
		{"tls-min", "VERSION", inTransfer, tlsVersion(&s.TLSMin), "lowest version of TLS, 1.2 or 1.3, for the origin and the callbacks"},
		{"client-cert", "FILE", inTransfer, text(&s.ClientCert), "PEM file of the client certificate, which only the URL's own host is shown; needs -client-key"},
		{"client-key", "FILE", inTransfer, text(&s.ClientKey), "PEM file of the client certificate's key"},
		{outputOption, "DEVICE", inTransfer, outputs{&c.Output}, "block device that the package is written straight to; for serve NAME=DEVICE, which a request may name; may be given more than once"},
		{"trusted-key", "FILE", inTransfer, files{&c.TrustedKeys}, "public keys of minisign, signify or usign, of which one must have signed the package; may be given more than once"},
		{"min-version", "VERSION", inTransfer, minVersion(&c.MinVersion), "refuse packages whose signed version is older, X.Y.Z or @FILE with one in it; needs -trusted-key"},
		{"readback", "", inTransfer, boolean(&m.Readback), "verify by reading the package from the medium once more"},
	}
}

func serveOptions(s *Serve) []option {
	return []option{
		{"try-again", "FIRST..LONGEST", inServe, tryAgain(&s.TryAgain), "waits before a failed job is started again; they double; off: never"},
		{"metrics-listen", "HOST:PORT", inServe, address(&s.MetricsListen), "address of /metrics alone; left out, it is on -listen"},
		{"metrics-file", "FILE", inServe, text(&s.MetricsFile), "where the ota_ series are written for node_exporter's textfile collector, such as /var/lib/prometheus/node-exporter/otad.prom"},
		{"callback-url", "URL", inServe, webURL(&s.CallbackURL), "where progress and transitions are posted; left out, nowhere"},
		{"callback-token-file", "FILE", inServe, text(&s.CallbackTokenFile), "file with the bearer token that callbacks are sent with"},
		{"token-file", "FILE", inServe, text(&s.TokenFile), "file with the bearer token that POST and DELETE then need"},
	}
}

func fetchOptions(f *Fetch) []option {
	j := &f.Job
	return []option{
		{"md5", "HEX", inFetch, jobText(&j.MD5, "32 hex digits", digestProblem(32)), "MD5 of the package; it, -sha256 or both must be given"},
		{"sha256", "HEX", inFetch, jobText(&j.SHA256, "64 hex digits", digestProblem(64)), "SHA-256 of the package"},
		{"size", "SIZE", inFetch, size(&j.Size, 1, math.MaxInt64), "size of the package; left out, the first answer tells"},
		{"name", "NAME", inFetch, jobText(&j.Name, "a plain file name", journal.NameProblem), "file name of the package; left out, the last path element of the URL"},
		{"version", "X.Y.Z", inFetch, jobText(&j.Version, "a version such as 1.2.3", journal.VersionProblem), "version of the package, part of the job's identity"},
		{urlFileOption, "FILE", inFetch, text(&f.URLFile), "file with the URL, - for stdin: an argument is in every process list"},
		{"signature", "FILE", inFetch, text(&f.Signature), "file or URL of the package's .minisig, for -trusted-key; left out, it is at the package's URL with .minisig after it"},
		{"replace", "", inFetch, boolean(&f.Replace), "give up another unfinished job; otherwise it is in the way"},
		{"quiet", "", inFetch, boolean(&f.Quiet), "show no progress"},
	}
}

// find returns the option called name.
func find(opts []option, name string) (option, bool) {
	i := slices.IndexFunc(opts, func(o option) bool { return o.name == name })
	if i < 0 {
		return option{}, false
	}
	return opts[i], true
}
