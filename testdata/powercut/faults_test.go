package main

import (
	"go/parser"
	"go/token"
	"testing"
)

func TestEveryFaultFitsTheSource(t *testing.T) {
	for name, f := range faults() {
		source, err := f.apply("../..")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), f.file, source, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
