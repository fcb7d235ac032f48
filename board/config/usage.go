package config

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// helpFor is the answer to "otad help [command]".
func helpFor(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return overview, nil
	case len(args) == 1 && slices.Contains(commandNames(), args[0]):
		return commandHelp(args[0]), nil
	}
	return "", usagef("otad help takes one of %s", strings.Join(commandNames(), ", "))
}

const overview = `usage: otad COMMAND [flags]

otad downloads one update package at a time, safe against power loss and bad
networks, and goes on where it stopped.

commands:
  serve    run the daemon: API, callbacks, metrics
  fetch    download one package in the foreground
  status   show what the daemon does, or what the journal says
  graph    print the state machine
  version  print the version

'otad help COMMAND' shows the flags of a command. Each of them can also be set in
the environment (-read-timeout as OTAD_READ_TIMEOUT) or in the file that -config
names (one "read-timeout 2m" a line). Flags win over environment over file.
`

// commandHelp is the help text of one command.
func commandHelp(command string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "usage: otad %s\n\n%s\n", synopsis(command), description(command))
	flags := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	title := "\nflags:\n"
	for _, o := range options(defaults(command)) {
		if slices.Contains(o.commands(), command) {
			fmt.Fprintf(flags, "%s  -%s\t%s%s\n", title, strings.TrimSpace(o.name+" "+o.arg), o.help, defaultNote(o))
			title = ""
		}
	}
	_ = flags.Flush() // a strings.Builder takes everything
	return text.String()
}

func defaultNote(o option) string {
	if o.value.String() == "" {
		return ""
	}
	return " (default " + o.value.String() + ")"
}

func synopsis(command string) string {
	switch command {
	case fetchCommand:
		return "fetch [flags] URL"
	case versionCommand:
		return "version"
	}
	return command + " [flags]"
}

func description(command string) string {
	switch command {
	case serveCommand:
		return "Runs the daemon: takes up an unfinished download, and new ones over HTTP."
	case fetchCommand:
		return `Downloads one package to the state directory, or goes on with it. The exit code is
the result: 0 ready, 1 download failed, 2 usage or state directory, 3 digest or
size mismatch, 4 disk full, 5 another otad is running, 75 stopped by a signal.`
	case statusCommand:
		return "Shows what the daemon does or, when none is running, what the journal says."
	case graphCommand:
		return "Prints the state machine of an update."
	}
	return "Prints the version of this otad."
}

// Markdown is the table of all flags for the README.
func Markdown() string {
	var table strings.Builder
	table.WriteString("| Flag | Commands | Default | Meaning |\n|---|---|---|---|\n")
	for _, o := range options(defaults("")) {
		name := strings.TrimSpace("-" + o.name + " " + o.arg)
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, strings.Join(o.commands(), ", "), defaultCell(o), o.help)
	}
	return table.String()
}

// defaultCell is the default of o, for each command when they differ.
func defaultCell(o option) string {
	var cells, values []string
	for _, command := range o.commands() {
		own, _ := find(options(defaults(command)), o.name)
		text := own.value.String()
		if text == "" {
			return ""
		}
		values = append(values, text)
		cells = append(cells, fmt.Sprintf("`%s` (%s)", text, command))
	}
	if len(slices.Compact(values)) == 1 {
		return "`" + values[0] + "`"
	}
	return strings.Join(cells, ", ")
}
