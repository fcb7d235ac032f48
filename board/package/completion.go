package main

import (
	"bytes"
	_ "embed"
	"slices"
	"strings"
	"text/template"

	"otad/board/config"
)

//go:embed otad.bash.tmpl
var completionText string

// completion returns the script that bash completes the arguments of otad with.
func completion() ([]byte, error) {
	script, err := template.New("otad.bash").Funcs(template.FuncMap{"join": strings.Join, "takes": takes, "patterns": patterns}).Parse(completionText)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range config.Commands() {
		names = append(names, c.Name)
	}
	var out bytes.Buffer
	err = script.Execute(&out, map[string]any{"Commands": names, "Flags": config.Flags()})
	return out.Bytes(), err
}

// takes returns the flags of a command, as they are written.
func takes(command string, flags []config.Flag) string {
	var list []string
	for _, f := range flags {
		if slices.Contains(f.Commands, command) {
			list = append(list, "-"+f.Name)
		}
	}
	return strings.Join(list, " ")
}

// patterns returns the patterns of bash for the flags whose value has this
// placeholder and no fixed set; for "": all the others that take a value.
func patterns(arg string, flags []config.Flag) string {
	var list []string
	for _, f := range flags {
		other := f.Arg != "" && f.Arg != "FILE" && f.Arg != "DIR"
		if f.Words == nil && (f.Arg == arg && arg != "" || arg == "" && other) {
			list = append(list, "-"+f.Name)
		}
	}
	return strings.Join(list, " | ")
}
