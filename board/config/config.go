// Package config turns otad's command line, environment and config file into
// one checked [Config].
//
// Every flag has one name in three places: -read-timeout on the command line,
// OTAD_READ_TIMEOUT in the environment and "read-timeout" in the config file.
// The command line wins over the environment, the environment over the file,
// the file over the default. A name that no flag has is an error in all three:
// a misspelt setting that is silently ignored would only be noticed in the
// field. For serve alone such a name in the file or the environment is one of
// [Config].Warnings: the settings of a newer otad, or the variables that a
// container engine sets, must not keep a board from being updated.
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
//
// The model of the file is PlainParser, that of the environment WithEnvVarPrefix,
// both in github.com/peterbourgon/ff. The package itself is not used: it ignores
// unknown OTAD_ variables, takes a flag of another command in a shared file for
// unknown, and shows values in its errors, which here may be signed URLs.
package config

import (
	"log/slog"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// Config is one run of otad. The fields of commands other than Command are
// filled in too and have no effect.
type Config struct {
	Command    string     // serve, fetch, status, graph, check-config or version
	StateDir   string     // holds the journal, the partial file and the package
	DirGiven   bool       // StateDir is set, by a flag, a variable or the file
	LogFormat  string     // text or json
	LogLevel   slog.Level // lowest level that is logged
	Listen     []string   // host:port or unix:PATH of the API, for serve and status
	Serve      Serve
	Fetch      Fetch
	StatusJSON bool     // status prints JSON instead of text
	Watch      bool     // status goes on until the job has ended
	Format     string   // of graph: mermaid or dot
	HoldFile   string   // serve and fetch make no request while it exists, "" for none
	Warnings   []string // one line for each unknown name that serve ignores, without a value
	Output     Outputs  // devices that packages may be written to
	HeaderFile string   // holds header fields of the requests to the origin, "" for none

	TrustedKeys []string // files of the keys of which one must have signed a package, none for any package
	MinVersion  string   // the lowest version of a package, or @ and the file that holds it, "" for any

	// Source and Machine hold the flags that serve and fetch share, each in the
	// field of its name. Their other fields are zero; the caller sets them. That
	// includes AllowHTTP of Machine, which has to be that of Source.
	Source  netio.Config
	Machine fsm.Config
}

// Serve holds the settings of the daemon alone.
type Serve struct {
	MetricsListen     string // host:port for /metrics, "" for Config.Listen
	MetricsFile       string // for node_exporter's textfile collector, "" for none
	CallbackURL       string // absolute http or https URL, "" for none
	CallbackTokenFile string // holds the bearer token of the callbacks, "" for none
	TokenFile         string // holds the bearer token for POST and DELETE, "" for none
	Install           Install
	TryAgain          fsm.TryAgain // zero: a failed job is left alone
}

// Install holds how a package that is Ready is handed over.
type Install struct {
	Command []string      // words, the first an absolute path; none: it is not handed over
	When    string        // auto or on-request
	Timeout time.Duration // longest run of the command
	Grace   time.Duration // how long a stop waits for the command
	MaxAge  time.Duration // of a package that is installed; 0: no limit
}

// Fetch holds the settings of one otad fetch.
type Fetch struct {
	Job     journal.Job // a digest is set; so are the URL, not checked, and Name, unless there is URLFile
	URLFile string      // the URL is in this file, "-" for stdin, and goes to SetURL; "" for none
	Replace bool        // give up another unfinished job

	Signature string // file or URL of the package's signature, "" for none
	Quiet     bool   // no progress
}
