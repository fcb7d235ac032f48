package config

import (
	"errors"
	"fmt"
	"io"
)

// ErrHelp is the error of Parse after it has printed a help text.
var ErrHelp = errors.New("help was printed")

// UsageError reports a command line, an environment or a config file that otad
// cannot use. Its text is one line that names the place, the problem and the
// remedy; it never holds a URL.
type UsageError struct {
	Problem string
	Err     error // of the operating system, about the config file; or nil
}

// Error implements error.
func (e *UsageError) Error() string { return e.Problem }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error {
	return &UsageError{Problem: fmt.Sprintf(format, args...)}
}

// Parse reads args (the command and its arguments, without the program's name),
// environ (in the form of os.Environ) and the config file. A help text goes to
// out, and the error is then [ErrHelp] or that of out; every other error is a
// *[UsageError].
func Parse(args, environ []string, out io.Writer) (*Config, error) {
	command, rest, err := chooseCommand(args)
	if err != nil {
		return nil, err
	}
	var c *Config
	var text string
	if command == helpCommand {
		text, err = helpFor(rest)
	} else if c, err = parse(command, rest, environ); errors.Is(err, ErrHelp) {
		text, err = commandHelp(command), nil
	}
	if err != nil {
		return nil, err
	}
	if text == "" {
		return c, nil
	}
	if _, err := io.WriteString(out, text); err != nil {
		return nil, err
	}
	return nil, ErrHelp
}

// parse reads the flags of a command, then all other sources.
func parse(command string, args, environ []string) (*Config, error) {
	c := defaults(command)
	opts := options(c)
	flags, operands, err := fromFlags(command, opts, args)
	if err != nil {
		return nil, err
	}
	if err := takeOperands(c, operands, flags); err != nil {
		return nil, err
	}
	if command == versionCommand {
		// otad version must work even when the settings are wrong.
		return c, nil
	}
	if c.Warnings, err = applyAll(opts, flags, environ, command == serveCommand); err != nil {
		return nil, err
	}
	if err := checkOutputFlags(command, flags); err != nil {
		return nil, err
	}
	return c, complete(c, len(operands) > 0)
}

// applyAll sets the values of the file, then of the environment, then of the
// flags: the last one wins. With lenient, unknown names in the first two are
// returned as warnings, otherwise the first one is the error.
func applyAll(opts []option, flags []assignment, environ []string, lenient bool) (warnings []string, err error) {
	env, unknown := fromEnvironment(opts, environ)
	if len(unknown) > 0 && !lenient {
		return nil, usagef("%s", unknown[0])
	}
	file, unknownKeys, err := fromFile(opts, configFile(env, flags), lenient)
	if err != nil {
		return nil, err
	}
	for _, layer := range [][]assignment{file, env, flags} {
		for _, a := range layer {
			if l, ok := a.option.value.(list); ok {
				l.clear()
			}
		}
		for _, a := range layer {
			if err := a.option.value.Set(a.text); err != nil {
				return nil, usagef("%s: %v", a.source, err)
			}
		}
	}
	return append(unknown, unknownKeys...), nil
}
