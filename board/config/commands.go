package config

import (
	"slices"
	"strings"
)

// urlFileOption names the flag that stands for the operand of fetch.
const urlFileOption = "url-file"

const (
	serveCommand   = "serve"
	fetchCommand   = "fetch"
	checkCommand   = "check-config"
	versionCommand = "version"
	helpCommand    = "help"
)

// Command describes one command for the help texts and the other documents that
// are generated.
type Command struct {
	Name     string
	Operands string // begins with a space, "" for none
	Summary  string // a few words
	Text     string // sentences, in lines
}

// Commands returns the commands in the order of the help text. Any goroutine may
// call it.
func Commands() []Command {
	return []Command{
		{serveCommand, " [flags]", "run the daemon: API, callbacks, metrics",
			"Runs the daemon: continues an unfinished download, and takes new ones over HTTP."},
		{fetchCommand, " [flags] URL", "download one package in the foreground",
			`Downloads one package to the state directory, or continues it. The exit code is
the result: 0 ready, 1 download failed, 2 usage or state directory, 3 digest, size
or signature wrong, 4 disk full, 5 another otad is running, 75 stopped by a signal.`},
		{"status", " [flags]", "show the progress of the daemon, or of the journal",
			`Shows the daemon's progress or, when none is running, what the journal says. With
-state-dir the daemon of another directory does not answer. The exit code is the
state: 0 at work, idle or ready, 1 failed, 2 usage or no answer, 3 no otad is running.`},
		{"graph", " [flags]", "print the state machine", "Prints the state machine of an update."},
		{checkCommand, " [flags]", "check the config file and the environment",
			`Checks the settings, and the token, header, key and CA files that they name. A name that
otad serve only warns about is an error here.`},
		{versionCommand, "", "print the version", "Prints the version of this otad."},
	}
}

func commandNames() []string {
	var names []string
	for _, c := range Commands() {
		names = append(names, c.Name)
	}
	return names
}

// chooseCommand splits args into the command and its arguments.
func chooseCommand(args []string) (command string, rest []string, err error) {
	if len(args) == 0 {
		return "", nil, usagef("no command: want one of %s (see otad help)", strings.Join(commandNames(), ", "))
	}
	command, rest = args[0], args[1:]
	switch command {
	case "-h", "-help", "--help", helpCommand:
		return helpCommand, rest, nil
	case "-version", "--version":
		return versionCommand, rest, nil
	}
	if strings.Contains(command, "://") {
		return "", nil, usagef("no command before the URL: want otad fetch [flags] URL")
	}
	if !slices.Contains(commandNames(), command) {
		return "", nil, usagef("unknown command %q%s (see otad help)", command, didYouMean("", command, commandNames()))
	}
	return command, rest, nil
}

// booleanHint names the usual cause of an extra argument: -replace true.
const booleanHint = "a boolean flag takes its value as in -replace=false"

// takeOperands stores the arguments that are not flags. Errors do not show
// operands: one may be a signed URL.
func takeOperands(c *Config, operands []string, flags []assignment) error {
	urlFile := slices.ContainsFunc(flags, func(a assignment) bool { return a.option.name == urlFileOption })
	switch {
	case c.Command == fetchCommand && len(operands) == 1 && urlFile:
		return usagef("otad fetch takes a URL or -url-file, got both")
	case c.Command == fetchCommand && len(operands) == 1:
		c.Fetch.Job.URL = operands[0]
	case c.Command == fetchCommand && len(operands) == 0: // complete looks for a file
	case c.Command == fetchCommand:
		return usagef("otad fetch needs exactly one URL, got %d arguments beside flags (%s)", len(operands), booleanHint)
	case len(operands) > 0:
		return usagef("otad %s takes flags only, got %d arguments beside them (%s)", c.Command, len(operands), booleanHint)
	}
	return nil
}

// complete checks the rules between flags, and derives the name of a package
// from its URL. hasURL reports whether there is an operand.
func complete(c *Config, hasURL bool) error {
	if (c.Source.ClientCert == "") != (c.Source.ClientKey == "") {
		return usagef("-client-cert and -client-key need each other, only one is set")
	}
	if limit := c.Source.RateLimit; limit > 0 && c.Source.MinRate > limit {
		return usagef("-min-rate %s is above -rate-limit %s: every transfer would be broken off", formatSize(c.Source.MinRate), formatSize(limit))
	}
	if c.MinVersion != "" && len(c.TrustedKeys) == 0 {
		return usagef("-min-version needs -trusted-key: a version that nobody has signed proves nothing")
	}
	if c.Command == serveCommand || c.Command == checkCommand {
		return c.Serve.Install.check()
	}
	if c.Command != fetchCommand {
		return nil
	}
	j := &c.Fetch.Job
	j.Output = c.Output.Device
	j.MD5, j.SHA256 = strings.ToLower(j.MD5), strings.ToLower(j.SHA256)
	switch {
	case hasURL:
		c.Fetch.URLFile = "" // the command line wins over the environment and the file
	case c.Fetch.URLFile == "":
		return usagef("otad fetch needs a URL: want otad fetch [flags] URL, or -url-file")
	}
	if c.Fetch.Signature != "" && len(c.TrustedKeys) == 0 {
		return usagef("-signature needs -trusted-key: without it nobody's signature is asked for, and none is checked")
	}
	signed := c.Fetch.Signature != "" && !strings.Contains(c.Fetch.Signature, "://")
	if j.MD5 == "" && j.SHA256 == "" && !signed {
		return usagef("otad fetch needs -md5 or -sha256, or -trusted-key and -signature FILE: a package that cannot be checked is not fetched")
	}
	if c.Fetch.URLFile != "" {
		return nil
	}
	return c.Fetch.SetURL(j.URL)
}

// SetURL sets the URL of the job, and its name from the URL unless there is one.
// Its error is a *[UsageError] and does not show the URL.
func (f *Fetch) SetURL(raw string) error {
	f.Job.URL = raw
	if f.Job.Name != "" {
		return nil
	}
	var err error
	if f.Job.Name, err = nameFromURL(raw); err != nil {
		return usagef("%v", err)
	}
	return nil
}
