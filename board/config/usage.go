package config

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// helpFor returns the text of "otad help [command]". The topic -markdown is not
// listed: it is the table for README.md.
func helpFor(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return overview(), nil
	case len(args) == 1 && slices.Contains(commandNames(), args[0]):
		return commandHelp(args[0]), nil
	case len(args) == 1 && args[0] == "-markdown":
		return markdown(), nil
	}
	return "", usagef("otad help takes one of %s", strings.Join(commandNames(), ", "))
}

func overview() string {
	var list strings.Builder
	for _, c := range Commands() {
		fmt.Fprintf(&list, "  %-12s %s\n", c.Name, c.Summary)
	}
	return `usage: otad COMMAND [flags]

otad downloads one update package at a time, safe against power loss and bad
networks, and continues where it stopped.

commands:
` + list.String() + `
'otad help COMMAND' shows the flags of a command. Each of them can also be set in
the environment (-read-timeout as OTAD_READ_TIMEOUT) or in the file that -config
names (one "read-timeout 2m" a line). Flags win over environment over file.
`
}

// commandHelp returns the help text of one command.
func commandHelp(name string) string {
	var text strings.Builder
	for _, c := range Commands() {
		if c.Name == name {
			fmt.Fprintf(&text, "usage: otad %s%s\n\n%s\n", name, c.Operands, c.Text)
		}
	}
	flags := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	title := "\nflags:\n"
	for _, o := range options(defaults(name)) {
		if slices.Contains(o.commands(), name) {
			fmt.Fprintf(flags, "%s  -%s\t%s%s\n", title, strings.TrimSpace(o.name+" "+o.arg), o.help, defaultNote(o))
			title = ""
		}
	}
	_ = flags.Flush() // writing to a strings.Builder does not fail
	return text.String()
}

func defaultNote(o option) string {
	if o.value.String() == "" {
		return ""
	}
	return " (default " + o.value.String() + ")"
}

// markdown returns the table of all flags.
func markdown() string {
	var table strings.Builder
	table.WriteString("| Flag | Commands | Default | Meaning |\n|---|---|---|---|\n")
	for _, f := range Flags() {
		name := strings.TrimSpace("-" + f.Name + " " + f.Arg)
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, strings.Join(f.Commands, ", "), f.Default, f.Help)
	}
	return table.String()
}

// defaultCell returns the default of o, for each command if they differ.
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
