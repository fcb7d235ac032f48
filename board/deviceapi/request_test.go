package deviceapi_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"otad/board/deviceapi"
	"otad/journal"
)

// Go's decoder replaces it by U+FFFD, which would be another name.
func TestHalfASurrogatePairIsRefused(t *testing.T) {
	_, err := deviceapi.DecodeDownload([]byte(`{"version":"1.2.3","package_url":"https://h/u","package_name":"x\ud800y",
		"package_size":1,"package_md5":"9e107d9d372bb6826bd81d3542a419d6"}`))
	var field *journal.FieldError
	if !errors.As(err, &field) || field.Field != "package_name" {
		t.Errorf("refused by %v", err)
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
			var field *journal.FieldError
			if !errors.As(err, &field) || field.Field == "" || field.Problem == "" {
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
			"package_size": job.Size, "package_md5": job.MD5, "package_sha256": job.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := deviceapi.DecodeDownload(again); err != nil || got != job {
			t.Fatalf("sent again, %+v became %+v, %v", job, got, err)
		}
	})
}
