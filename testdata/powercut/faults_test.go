package main

import (
	"path/filepath"
	"testing"

	"otad/testdata/boards"
)

func TestEveryFaultFitsTheSource(t *testing.T) {
	t.Chdir("../..")
	for name := range faults() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			list, err := overlay(dir, name)
			if err == nil {
				err = boards.Compile(t.Context(), "host", filepath.Join(dir, "otad"), ".", list)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
