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

// signedJob is goodJob with a signature, and with where it came from.
func signedJob() journal.Job {
	j := goodJob()
	j.Signature, j.SignatureURL = "RURs\ntrusted comment: size:1\tversion:1.2.3\nMK0D\n", "https://example.com/u.zip.minisig?X-Amz-Signature=def"
	return j
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
		{"the output", func(j *journal.Job) { j.Output = "/dev/sda2" }, false},
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
		{"an output", func(j *journal.Job) { j.Output = "/dev/disk/by-partlabel/rootfs b" }, ""},
		{"an output that is a name", func(j *journal.Job) { j.Output = "slot-b" }, journal.FieldOutput},
		{"an output with a way back", func(j *journal.Job) { j.Output = "/dev/../etc/passwd" }, journal.FieldOutput},
		{"an output that is too long", func(j *journal.Job) { j.Output = "/" + strings.Repeat("u", journal.MaxOutput) }, journal.FieldOutput},
		{"an output with a line break", func(j *journal.Job) { j.Output = "/dev/a\nb" }, journal.FieldOutput},
		{"the name of a device's record", func(j *journal.Job) { j.Name = "u.otad-slot" }, journal.FieldName},
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
		{"a partial file's name", name("u.zip.OTAD-part"), journal.FieldName},
		{"an earlier partial file's name", name("u.zip.part"), journal.FieldName},
		{"a negative size", func(j *journal.Job) { j.Size = -1 }, journal.FieldSize},
		{"no digest", func(j *journal.Job) { j.MD5, j.SHA256 = "", "" }, journal.FieldMD5},
		{"an upper-case MD5", func(j *journal.Job) { j.MD5 = strings.Repeat("0F", 16) }, journal.FieldMD5},
		{"a short MD5", func(j *journal.Job) { j.MD5 = "0f" }, journal.FieldMD5},
		{"a SHA-256 with other letters", func(j *journal.Job) { j.SHA256 = strings.Repeat("0g", 32) }, journal.FieldSHA256},
		{"the longest signature", func(j *journal.Job) { j.Signature = strings.Repeat("s", journal.MaxSignature) }, ""},
		{"a signature that is too long", func(j *journal.Job) { j.Signature = strings.Repeat("s", journal.MaxSignature+1) }, journal.FieldSignature},
		{"a signature that is not text", func(j *journal.Job) { j.Signature = "\xff" }, journal.FieldSignature},
		{"a signature URL that is too long", func(j *journal.Job) { j.SignatureURL = strings.Repeat("u", journal.MaxURL+1) }, journal.FieldSignatureURL},
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

func TestNamesThatCanBeMistakenAreRefused(t *testing.T) {
	for _, name := range []string{
		"u.zip", "U", "7", "0a.zip", "fw-1.2.3+b4_x.tar.gz", "a..b", "a+b", "a b.zip", "a b c", "Ü 1.zip", "u\u0308.zip",
		"обновление.zip", "обновление v2.zip", "ενημέρωση.img", "更新.bin", "アップデート.bin", "업데이트.bin", "अद्यतन.bin", "עדכון.bin", "تحديث.bin", "v2-обновление",
	} {
		if problem := journal.NameProblem(name); problem != "" {
			t.Errorf("%q %s", name, problem)
		}
	}
	bad := map[string]string{
		"-rf": "begin", "--": "begin", "_a": "begin", "+a": "begin", " a": "begin", "\u0308a": "begin", "(1).zip": "begin", "🙂.zip": "begin",
		"a -rf": "dash", "a ": "contains", "a  b": "contains", "a\u00a0b": "contains", "a\u3000b": "contains",
		"a\u202eb": "contains", "a\u2066b": "contains", "a\u200fb": "contains", "a\u061cb": "contains", "a\u200bb": "contains", "a\u200db": "contains",
		"a\ufeffb": "contains", "a\u2028b": "contains", "a\u2029b": "contains", "a\u0085b": "contains", "a\u009bb": "contains", "a\tb": "contains",
		"a\u3164b": "contains", "a\u115fb": "contains", "a\u034fb": "contains", "a\ufe0fb": "contains", "a\U000e0041b": "contains", "a1\u0308": "contains",
		"a\u01c0b": "contains", "a\u01c3b": "contains", "a\u02bcb": "contains", "a\ua78cb": "contains", "\uff41.zip": "begin", "a\uff0eb": "contains",
		"a\U0001d41ab": "contains", "a\u212ab": "contains", "a٣": "contains", "a½": "contains", "a🙂": "contains", "a\ufffdb": "contains", "a\u2215b": "contains",
		"p\u0430yload.zip": "alphabets", "\u0440ayload": "alphabets", "\u03bfs.img": "alphabets",
	}
	for _, r := range "!\"#$%&'()*,/:;<=>?@[\\]^`{|}~" {
		bad["a"+string(r)+"b"] = "contains"
	}
	for name, want := range bad {
		problem := journal.NameProblem(name)
		if !strings.Contains(problem, want) {
			t.Errorf("%+q: problem %q, want %q", name, problem, want)
		}
		for _, r := range problem {
			if r < ' ' || r > '~' {
				t.Errorf("%+q: the problem shows %+q", name, r)
			}
		}
	}
}

// The rule for new names is stricter than that of the versions before: a job that
// one of them has begun goes on.
func TestOlderNamesInAJournalAreKept(t *testing.T) {
	for _, name := range []string{"-rf", "a;b.zip", "$(x).zip", "update (1).zip", "a\u202eb", "a\u2028b", " a", "~", "p\u0430yload.zip"} {
		job := goodJob()
		job.Name = name
		if job.Validate() == nil {
			t.Errorf("%+q is accepted for a new job", name)
		}
		dir := t.TempDir()
		j, err := openPath(dir, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Update(func(r *journal.Record) { r.State, r.Job = "Downloading", job }); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if j, err = openPath(dir, journal.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := j.Record().Job; got != job || j.Recovery().Result == journal.SetAside {
			t.Errorf("%+q: the job is %+v, %v", name, got, j.Recovery())
		}
		j.Close()
	}
}
