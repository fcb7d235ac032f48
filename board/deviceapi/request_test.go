package deviceapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/board/deviceapi"
	"otad/journal"
)

// Go's decoder replaces it by U+FFFD, which would be another name.
func TestHalfASurrogatePairIsRefused(t *testing.T) {
	_, err := deviceapi.DecodeDownload([]byte(`{"version":"1.2.3","package_url":"https://h/u","package_name":"x\ud800y",
		"package_size":1,"package_md5":"9e107d9d372bb6826bd81d3542a419d6"}`))
	var bad *deviceapi.RequestError
	if !errors.As(err, &bad) || bad.Key != "package_name" {
		t.Errorf("refused by %v", err)
	}
}

// The updater names a field in its own words; the API answers with its key.
func TestRefusedFieldIsNamedByItsKey(t *testing.T) {
	for field, want := range map[journal.Field]string{
		journal.FieldVersion: "VALIDATION_ERROR: version is bad",
		journal.FieldURL:     "VALIDATION_ERROR: package_url is bad",
		journal.FieldName:    "VALIDATION_ERROR: package_name is bad",
		journal.FieldSize:    "VALIDATION_ERROR: package_size is bad",
		journal.FieldMD5:     "VALIDATION_ERROR: package_md5 is bad",
		journal.FieldSHA256:  "VALIDATION_ERROR: package_sha256 is bad",

		journal.FieldSignature:    "VALIDATION_ERROR: package_signature is bad",
		journal.FieldSignatureURL: "VALIDATION_ERROR: package_signature_url is bad",
	} {
		err := fmt.Errorf("start: %w", &journal.FieldError{Field: field, Problem: "is bad"})
		_, body := do(t, newAPI(&updater{err: err}), request("POST", "/api/v1.0/download", goodJob))
		if !strings.Contains(body, `"`+want+`"`) {
			t.Errorf("%s: answered %s, want %q", field, body, want)
		}
	}
}

// A body that breaks a rule of the journal is answered with the API's key too.
func TestBrokenRuleIsNamedByItsKey(t *testing.T) {
	for field, want := range map[string]string{
		`"version":"1.2"`:  "version is not three numbers with dots between them, as in 1.2.3",
		`"package_url":""`: "package_url is missing",
		`"package_url":"` + strings.Repeat("u", journal.MaxURL+1) + `"`: "package_url is longer than 4096 bytes",
		`"package_name":".u"`:   "package_name begins with a dot",
		`"package_md5":"0F"`:    "package_md5 is not 32 lower-case hexadecimal digits",
		`"package_sha256":"0F"`: "package_sha256 is not 64 lower-case hexadecimal digits",
		`"package_signature":"` + strings.Repeat("s", journal.MaxSignature+1) + `"`: "package_signature is longer than 4096 bytes",
		`"package_signature_url":"` + strings.Repeat("u", journal.MaxURL+1) + `"`:   "package_signature_url is longer than 4096 bytes",
	} {
		var keys map[string]any
		if err := json.Unmarshal([]byte(goodJob), &keys); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte("{"+field+"}"), &keys); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deviceapi.DecodeDownload(body); err == nil || err.Error() != want {
			t.Errorf("%.40s: %v, want %s", field, err, want)
		}
	}
}

// FuzzDownloadRequest checks that the decoder returns, for any body, an error
// that names a field, or a valid job that decodes to itself when it is encoded
// and sent again.
func FuzzDownloadRequest(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "requests", "*.json"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range seeds {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		job, err := deviceapi.DecodeDownload(body)
		if err != nil {
			var bad *deviceapi.RequestError
			if !errors.As(err, &bad) || bad.Key == "" || bad.Problem == "" {
				t.Fatalf("the error names no field: %v", err)
			}
			if job != (journal.Job{}) {
				t.Fatalf("a refused body left %+v", job)
			}
			return
		}
		if err := job.Validate(); err != nil || job.Size < 1 || job.Version == "" || job.MD5 == "" {
			t.Fatalf("%+v was accepted: %v", job, err)
		}
		again, err := json.Marshal(map[string]any{"version": job.Version, "package_url": job.URL, "package_name": job.Name,
			"package_size": job.Size, "package_md5": job.MD5, "package_sha256": job.SHA256,
			"package_signature": job.Signature, "package_signature_url": job.SignatureURL})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := deviceapi.DecodeDownload(again); err != nil || got != job {
			t.Fatalf("sent again, %+v became %+v, %v", job, got, err)
		}
	})
}
