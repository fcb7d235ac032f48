package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// assignment is a value for an option, from one of the sources.
type assignment struct {
	option option
	text   string
	source string // for error texts: -retries, OTAD_RETRIES or FILE:3: retries
}

// fromFlags reads the command line of a command. Flags may stand before and
// after the operands; all after "--" are operands.
func fromFlags(command string, opts []option, args []string) (given []assignment, operands []string, err error) {
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, o := range opts {
		record := func(text string) error {
			given = append(given, assignment{o, text, "-" + o.name})
			return nil
		}
		if o.isBool() {
			set.BoolFunc(o.name, o.help, record)
		} else {
			set.Func(o.name, o.help, record)
		}
	}
	for {
		if err := set.Parse(args); err != nil {
			return nil, nil, flagError(command, opts, err)
		}
		rest := set.Args()
		if read := len(args) - len(rest); len(rest) == 0 || read > 0 && args[read-1] == "--" {
			operands = append(operands, rest...)
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	for _, a := range given {
		if owners := a.option.commands(); !slices.Contains(owners, command) {
			return nil, nil, usagef("%s is not a flag of otad %s but of otad %s", a.source, command, strings.Join(owners, " and otad "))
		}
	}
	return given, operands, nil
}

// flagError replaces an error of the flag package by a UsageError or ErrHelp.
func flagError(command string, opts []option, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return ErrHelp
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return usagef("%v (see otad help %s)", err, command)
	}
	names := optionNames(opts, func(o option) bool { return slices.Contains(o.commands(), command) })
	return usagef("unknown flag -%s%s (see otad help %s)", name, didYouMean("-", name, names), command)
}

// fromEnvironment returns the assignments of the OTAD_ variables in environ, and
// a line about each that no flag has.
func fromEnvironment(opts []option, environ []string) (given []assignment, unknown []string) {
	if slices.ContainsFunc(environ, isEvent) {
		return nil, nil // of the command of another otad: its variables are no settings
	}
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) {
			continue
		}
		i := slices.IndexFunc(opts, func(o option) bool { return o.variable() == variable })
		if i < 0 {
			unknown = append(unknown, "unknown environment variable "+variable+didYouMean("", variable, variables(opts)))
			continue
		}
		given = append(given, assignment{opts[i], text, variable})
	}
	return given, unknown
}

// configFile returns the assignment that names the config file, the zero value
// for none.
func configFile(env, flags []assignment) assignment {
	var file assignment
	for _, a := range slices.Concat(env, flags) {
		if a.option.name == "config" {
			file = a
		}
	}
	return file
}

// fromFile reads the config file that from names. With lenient it returns a line
// about each key that no flag has, otherwise the first is an error.
func fromFile(opts []option, from assignment, lenient bool) (given []assignment, unknown []string, err error) {
	if from.text == "" {
		return nil, nil, nil
	}
	if strings.Contains(from.text, "://") {
		return nil, nil, usagef("%s: want a file, %s", from.source, got(from.text))
	}
	content, err := os.ReadFile(from.text)
	if err != nil {
		return nil, nil, &UsageError{Problem: fmt.Sprintf("%s: %v", from.source, err), Err: err}
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		a, err := fromLine(opts, line)
		if errors.Is(err, errUnknownKey) && lenient {
			unknown = append(unknown, fmt.Sprintf("%s:%d: %v", from.text, number, err))
			continue
		}
		if err != nil {
			return nil, nil, usagef("%s:%d: %v", from.text, number, err)
		}
		_, several := a.option.value.(list)
		if !several && slices.ContainsFunc(given, func(b assignment) bool { return a.option.name == b.option.name }) {
			return nil, nil, usagef("%s:%d: %s is set twice", from.text, number, a.option.name)
		}
		a.source = fmt.Sprintf("%s:%d: %s", from.text, number, a.option.name)
		given = append(given, a)
	}
	return given, unknown, nil
}

var errUnknownKey = errors.New("unknown key")

// fromLine reads one line that is neither blank nor a comment.
func fromLine(opts []option, line string) (assignment, error) {
	name, text := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		name, text = line[:i], strings.TrimSpace(line[i:])
	}
	o, known := find(opts, name)
	switch {
	case !known:
		return assignment{}, fmt.Errorf("%w, %s%s", errUnknownKey, got(name), didYouMean("", name, optionNames(opts, nil)))
	case name == "config":
		return assignment{}, errors.New("config cannot be set in a config file")
	case text == "" && o.isBool():
		text = "true"
	case text == "":
		return assignment{}, fmt.Errorf("%s needs a value", name)
	}
	return assignment{option: o, text: text}, nil
}

// optionNames returns the names of the options that keep accepts; nil keeps all.
func optionNames(opts []option, keep func(option) bool) []string {
	var names []string
	for _, o := range opts {
		if keep == nil || keep(o) {
			names = append(names, o.name)
		}
	}
	return names
}

func variables(opts []option) []string {
	var names []string
	for _, o := range opts {
		names = append(names, o.variable())
	}
	return names
}
