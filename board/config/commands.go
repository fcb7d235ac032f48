package config

import (
	"slices"
	"strings"
)

const (
	serveCommand   = "serve"
	fetchCommand   = "fetch"
	statusCommand  = "status"
	graphCommand   = "graph"
	versionCommand = "version"
	helpCommand    = "help"
)

// commandNames are the commands that can be run, in the order of the help text.
func commandNames() []string {
	return []string{serveCommand, fetchCommand, statusCommand, graphCommand, versionCommand}
}

// chooseCommand splits the command from what follows it.
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

// booleanHint names the usual reason for an argument too many: -replace true.
const booleanHint = "a boolean flag takes its value as in -replace=false"

// takeOperands takes what stands on the command line beside flags. Operands are
// not shown in errors: one may be a signed URL.
func takeOperands(c *Config, operands []string) error {
	switch {
	case c.Command == fetchCommand && len(operands) == 1:
		c.Fetch.URL = operands[0]
	case c.Command == fetchCommand && len(operands) == 0:
		return usagef("otad fetch needs a URL: want otad fetch [flags] URL")
	case c.Command == fetchCommand:
		return usagef("otad fetch needs exactly one URL, got %d arguments beside flags (%s)", len(operands), booleanHint)
	case len(operands) > 0:
		return usagef("otad %s takes flags only, got %d arguments beside them (%s)", c.Command, len(operands), booleanHint)
	}
	return nil
}

// complete checks what no single flag can, and fills in what follows from others.
func complete(c *Config) error {
	if (c.Transfer.ClientCert == "") != (c.Transfer.ClientKey == "") {
		return usagef("-client-cert and -client-key need each other, only one is set")
	}
	if c.Command != fetchCommand {
		return nil
	}
	f := &c.Fetch
	if f.MD5 == "" && f.SHA256 == "" {
		return usagef("otad fetch needs -md5 or -sha256: a package that cannot be checked is not fetched")
	}
	if f.Name != "" {
		return nil
	}
	name, err := nameFromURL(f.URL)
	if err != nil {
		return usagef("%v", err)
	}
	f.Name = name
	return nil
}
