// Package config turns otad's command line, environment and config file into
// one checked [Config].
//
// Every flag has one name in three places: -read-timeout on the command line,
// OTAD_READ_TIMEOUT in the environment and "read-timeout" in the config file.
// The command line wins over the environment, the environment over the file,
// the file over the default. A name that no flag has is an error in all three,
// because a misspelt setting that is silently ignored is found out in the field.
//
// The config file, named by -config or OTAD_CONFIG, has one "name value" a line:
//
//	# shared by otad serve, otad fetch and otad status
//	state-dir  /data/otad
//	checkpoint 4MiB
//	readback
//
// Blank lines and lines that begin with # are skipped. A boolean name alone on
// its line is true. The file and the environment may hold the flags of any
// command, so that the commands can share them; the command line takes only
// those of its own.
package config

import (
	"log/slog"
	"time"
)

// Config is what one run of otad has been asked to do. The groups of commands
// other than Command are filled in too, but say nothing about this run.
type Config struct {
	Command    string     // serve, fetch, status, graph or version
	File       string     // the config file that was read, "" for none
	StateDir   string     // holds the journal, the partial file and the package
	LogFormat  string     // text or json
	LogLevel   slog.Level // the least level that is logged
	Listen     string     // host:port of the API: served by serve, asked by status
	Transfer   Transfer
	Serve      Serve
	Fetch      Fetch
	StatusJSON bool   // status prints JSON instead of text
	Format     string // of graph: mermaid or dot
}

// Transfer is how packages are downloaded, by serve as by fetch.
type Transfer struct {
	Checkpoint     int64         // bytes between two checkpoints, 64 KiB to 64 MiB
	Retries        int           // tries after the first one, 0 or more
	ConnectTimeout time.Duration // until a connection stands, above 0
	HeaderTimeout  time.Duration // from the request to the answer's header, above 0
	ReadTimeout    time.Duration // between two bytes of the body, above 0
	NetworkWait    time.Duration // longest wait for a network to appear, 0: none
	RetryStatus    []int         // HTTP statuses to try again, each 400 to 599, ascending
	RetryAfterMax  time.Duration // longest wait that a Retry-After may ask for
	RateLimit      int64         // bytes a second, 0: no limit
	MinFree        int64         // bytes to leave free on the file system
	AllowHTTP      bool          // plain http to other hosts than loopback
	CAFile         string        // PEM roots to trust instead of the system's, "" for those
	ClientCert     string        // PEM certificate chain, "" for none; set together with ClientKey
	ClientKey      string        // PEM key
	Readback       bool          // verify by reading the file from the medium once more
}

// Serve is what only the daemon needs.
type Serve struct {
	MetricsListen string // host:port for /metrics, "" for Config.Listen
	CallbackURL   string // absolute http or https URL, "" for none
	TokenFile     string // holds the bearer token that POST and DELETE need, "" for none
}

// Fetch is the one package that fetch downloads.
type Fetch struct {
	URL     string // as given; its scheme and host are not checked here
	MD5     string // 32 lower-case hex digits, or "" when SHA256 is given
	SHA256  string // 64 lower-case hex digits, or "" when MD5 is given
	Size    int64  // bytes, 0: to be learned from the first answer
	Name    string // plain file name of the package in the state directory
	Version string // MAJOR.MINOR.PATCH, or ""
	Replace bool   // give up another unfinished job
	Quiet   bool   // no progress
}
