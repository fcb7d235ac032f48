package journal_test

import (
	"errors"
	"strings"
	"testing"

	"otad/journal"
)

func goodJob() journal.Job {
	return journal.Job{
		Version: "1.2.3",
		URL:     "https://example.com/u.zip?X-Amz-Signature=abc",
		Name:    "u.zip",
		Size:    104857600,
		MD5:     strings.Repeat("0f", 16),
		SHA256:  strings.Repeat("0f", 32),
	}
}

func TestSameIsAboutTheIdentityOfAJob(t *testing.T) {
	tests := []struct {
		name   string
		change func(*journal.Job)
		want   bool
	}{
		{"nothing", func(j *journal.Job) {}, true},
		{"the URL", func(j *journal.Job) { j.URL = "https://mirror.example.com/u.zip" }, true},
		{"a size not known", func(j *journal.Job) { j.Size = 0 }, true},
		{"the size", func(j *journal.Job) { j.Size++ }, false},
		{"the version", func(j *journal.Job) { j.Version = "1.2.4" }, false},
		{"the name", func(j *journal.Job) { j.Name = "v.zip" }, false},
		{"the MD5", func(j *journal.Job) { j.MD5 = strings.Repeat("1f", 16) }, false},
		{"the SHA-256", func(j *journal.Job) { j.SHA256 = "" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := goodJob()
			tt.change(&other)
			if got := goodJob().Same(other); got != tt.want {
				t.Errorf("Same = %t, want %t", got, tt.want)
			}
			if got := other.Same(goodJob()); got != tt.want {
				t.Errorf("the other way round Same = %t, want %t", got, tt.want)
			}
		})
	}
}

func TestValidateNamesTheFieldThatIsWrong(t *testing.T) {
	name := func(s string) func(*journal.Job) { return func(j *journal.Job) { j.Name = s } }
	version := func(s string) func(*journal.Job) { return func(j *journal.Job) { j.Version = s } }
	tests := []struct {
		name   string
		change func(*journal.Job)
		want   journal.Field // empty: valid
	}{
		{"a good job", func(j *journal.Job) {}, ""},
		{"no size yet", func(j *journal.Job) { j.Size = 0 }, ""},
		{"no version", version(""), ""},
		{"MD5 alone", func(j *journal.Job) { j.SHA256 = "" }, ""},
		{"SHA-256 alone", func(j *journal.Job) { j.MD5 = "" }, ""},
		{"the longest URL", func(j *journal.Job) { j.URL = strings.Repeat("u", journal.MaxURL) }, ""},
		{"the longest name", name(strings.Repeat("n", journal.MaxName)), ""},
		{"a name with spaces and umlauts", name("Ü 1.zip"), ""},

		{"two numbers", version("1.2"), journal.FieldVersion},
		{"four numbers", version("1.2.3.4"), journal.FieldVersion},
		{"an empty number", version("1..3"), journal.FieldVersion},
		{"a letter", version("1.2.x"), journal.FieldVersion},
		{"a prefix", version("v1.2.3"), journal.FieldVersion},
		{"a line break", version("1.2.3\n"), journal.FieldVersion},
		{"a very long version", version(strings.Repeat("1", 64) + ".2.3"), journal.FieldVersion},
		{"no URL", func(j *journal.Job) { j.URL = "" }, journal.FieldURL},
		{"a URL that is too long", func(j *journal.Job) { j.URL = strings.Repeat("u", journal.MaxURL+1) }, journal.FieldURL},
		{"a URL that is not text", func(j *journal.Job) { j.URL = "https://\xff" }, journal.FieldURL},
		{"no name", name(""), journal.FieldName},
		{"a hidden name", name(".u.zip"), journal.FieldName},
		{"the parent directory", name(".."), journal.FieldName},
		{"a path", name("a/b"), journal.FieldName},
		{"a path of another system", name(`a\b`), journal.FieldName},
		{"a NUL", name("a\x00b"), journal.FieldName},
		{"a line break in the name", name("a\nb"), journal.FieldName},
		{"a name that is not text", name("a\xffb"), journal.FieldName},
		{"a name that is too long", name(strings.Repeat("n", journal.MaxName+1)), journal.FieldName},
		{"the journal's name", name("journal.db"), journal.FieldName},
		{"the journal's name on FAT", name("JOURNAL.DB"), journal.FieldName},
		{"the marker's name", name("journal.opening"), journal.FieldName},
		{"a partial file's name", name("u.zip.part"), journal.FieldName},
		{"a negative size", func(j *journal.Job) { j.Size = -1 }, journal.FieldSize},
		{"no digest", func(j *journal.Job) { j.MD5, j.SHA256 = "", "" }, journal.FieldMD5},
		{"an upper-case MD5", func(j *journal.Job) { j.MD5 = strings.Repeat("0F", 16) }, journal.FieldMD5},
		{"a short MD5", func(j *journal.Job) { j.MD5 = "0f" }, journal.FieldMD5},
		{"a SHA-256 with other letters", func(j *journal.Job) { j.SHA256 = strings.Repeat("0g", 32) }, journal.FieldSHA256},
		{"a long SHA-256", func(j *journal.Job) { j.SHA256 += "0" }, journal.FieldSHA256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job := goodJob()
			tt.change(&job)
			err := job.Validate()
			if tt.want == "" {
				if err != nil {
					t.Errorf("Validate = %v", err)
				}
				return
			}
			var field *journal.FieldError
			if !errors.As(err, &field) || field.Field != tt.want || !strings.HasPrefix(err.Error(), string(tt.want)+" ") {
				t.Errorf("Validate = %v, want an error about %s", err, tt.want)
			}
		})
	}
}
