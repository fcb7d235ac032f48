package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"text/template"
	"time"

	"otad/board/config"
)

//go:embed otad.8.tmpl
var manualText string

// exitStatus is one exit code, as the comment of the main package lists it.
type exitStatus struct{ Code, Meaning string }

// manual returns the man page in mdoc(7). The exit codes are those in the comment
// of the file mainFile.
func manual(mainFile string, date time.Time) ([]byte, error) {
	status, err := exitStatuses(mainFile)
	if err != nil {
		return nil, err
	}
	page, err := template.New("otad.8").Funcs(template.FuncMap{
		"roff": roff, "operands": operands, "plain": plain, "and": and,
	}).Parse(manualText)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{
		"Date":     date.Format("January 2, 2006"),
		"Commands": config.Commands(),
		"Flags":    config.Flags(),
		"Status":   status,
	})
	return out.Bytes(), err
}

// exitStatuses reads the table of exit codes from the comment of a Go file.
func exitStatuses(file string) ([]exitStatus, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return nil, err
	}
	var list []exitStatus
	row := regexp.MustCompile(`^\t *([0-9]+)  (.+)$`)
	for line := range strings.Lines(parsed.Doc.Text()) {
		line = strings.TrimRight(line, "\n")
		if m := row.FindStringSubmatch(line); m != nil {
			list = append(list, exitStatus{m[1], m[2]})
		} else if more, ok := strings.CutPrefix(line, "\t    "); ok && len(list) > 0 {
			list[len(list)-1].Meaning += " " + more
		}
	}
	if len(list) == 0 {
		return nil, errors.New(file + ": no table of exit codes in the comment")
	}
	return list, nil
}

// roff returns text so that troff prints it as it is: with its backslashes, its
// flags with a minus and not a hyphen, and no line that begins with a request or
// is longer than 80 characters.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = regexp.MustCompile(`(^|[ "(])-([a-z0-9])`).ReplaceAllString(text, `$1\-$2`)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		// A sentence begins on a line of its own, so that the space before it is right.
		if sentence := strings.HasSuffix(line, "."); line != "" && (sentence || len(line)+len(word) > 78) {
			lines, line = append(lines, line), ""
		}
		if line == "" && strings.ContainsAny(word[:1], ".'") {
			line = `\&`
		} else if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}

// operands returns what follows a command as macros: "[flags] URL" is
// "Oo Ar flags Oc Ar URL".
func operands(text string) string {
	var macros strings.Builder
	for word := range strings.FieldsSeq(text) {
		if inner, ok := strings.CutPrefix(word, "["); ok {
			fmt.Fprintf(&macros, " Oo Ar %s Oc", strings.TrimSuffix(inner, "]"))
		} else {
			fmt.Fprintf(&macros, " Ar %s", word)
		}
	}
	return macros.String()
}

// plain returns markdown without the marks of code.
func plain(markdown string) string { return strings.ReplaceAll(markdown, "`", "") }

// and joins words as a sentence does.
func and(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
