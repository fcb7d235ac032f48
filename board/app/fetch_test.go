package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"otad/board/app"
	"otad/journal"
)

// The command line has flags for the fields of a job, and no package_url.
func TestRefusedFieldIsNamedByItsFlag(t *testing.T) {
	for field, want := range map[journal.Field]string{
		journal.FieldVersion: "-version is bad",
		journal.FieldURL:     "the URL is bad",
		journal.FieldName:    "-name is bad",
		journal.FieldSize:    "-size is bad",
		journal.FieldMD5:     "-md5 is bad",
		journal.FieldSHA256:  "-sha256 is bad",

		journal.FieldSignature:    "-signature is bad",
		journal.FieldSignatureURL: "-signature is bad",
	} {
		err := app.FlagError(fmt.Errorf("start: %w", &journal.FieldError{Field: field, Problem: "is bad"}))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", field, err, want)
		}
	}
	other := errors.New("other")
	if app.FlagError(nil) != nil || app.FlagError(other) != other {
		t.Error("another error was changed")
	}
}

func TestFetchNamesTheURLThatIsTooLong(t *testing.T) {
	var printed recorder
	err := printed.run(t.Context(), t, nil, func(string) {}, "fetch", "-state-dir", t.TempDir(),
		"-md5", object.MD5(), "-name", "u.bin", "https://h.test/"+strings.Repeat("u", journal.MaxURL))
	if want := "the URL is longer than 4096 bytes"; err == nil || err.Error() != want {
		t.Errorf("fetch = %v, want %s", err, want)
	}
}
