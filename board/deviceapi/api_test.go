package deviceapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

var update = flag.Bool("update", false, "rewrite testdata/wire.golden")

// TestWire compares every reply of the API byte for byte. The author of a client
// may rely on the file.
func TestWire(t *testing.T) {
	half := fsm.Snapshot{State: fsm.Downloading, Version: "1.2.3", Name: "u.zip", Size: 104857600, Durable: 49283072, Progress: 47,
		BytesPerSecond: 1234567, ETA: 44900 * time.Millisecond, Retries: 1, ResumedFrom: 1048576, Message: "Downloading"}
	failed := half
	failed.State, failed.Error, failed.Message, failed.ETA, failed.BytesPerSecond = fsm.Failed, "DOWNLOAD_FAILED: HTTP 404 Not Found", "Failed", -1, 0
	idle := fsm.Snapshot{State: fsm.Idle, ETA: -1, Message: "Updater ready"}
	failed.Code, failed.Reason, failed.Tries, failed.NextTry = fsm.DownloadFailed, fsm.Refused, 2, 3*time.Hour+time.Millisecond
	mismatch := failed
	mismatch.Error, mismatch.Code, mismatch.Reason, mismatch.NextTry = "MD5_MISMATCH: expected 0, got 1", fsm.MD5Mismatch, "", 0
	mismatch.Durable, mismatch.Progress = 0, 0 // the machine has deleted the bytes
	waiting := half
	waiting.Message, waiting.Tries = "retry 2 of 3 in 2s: connection refused by origin.example:443", 1
	in := func(s fsm.State, progress int, message string) fsm.Snapshot {
		x := half
		x.State, x.Progress, x.Message, x.ETA, x.BytesPerSecond = s, progress, message, -1, 0
		return x
	}
	brokenJob := strings.Replace(goodJob, goodMD5, "0123456789ABCDEF", 1)

	var got strings.Builder
	for _, tt := range []struct {
		name    string
		updater *updater
		method  string
		path    string
		body    string
	}{
		{"a new job", &updater{snapshot: idle}, "POST", "/api/v1.0/download", goodJob},
		{"bad input", &updater{snapshot: idle}, "POST", "/api/v1.0/download", brokenJob},
		{"another job while one is downloading", &updater{snapshot: half, err: fsm.ErrBusy}, "POST", "/api/v1.0/download", goodJob},
		{"a job whose URL is refused", &updater{err: &journal.FieldError{Field: journal.FieldURL, Problem: "must be https"}}, "POST", "/api/v1.0/download", goodJob},
		{"the journal cannot be written", &updater{err: errors.New("write the journal: read-only file system")}, "POST", "/api/v1.0/download", goodJob},
		{"an error text that is not escaped as HTML", &updater{err: errors.New("open <state> & journal")}, "DELETE", "/api/v1.0/download", ""},
		{"a job that fails at once", &updater{err: fmt.Errorf("start: %w", &fsm.Error{Code: fsm.DiskFull, Detail: "need 10 bytes, 3 free"})}, "POST", "/api/v1.0/download", goodJob},
		{"the machine is too slow to answer", &updater{err: context.DeadlineExceeded}, "POST", "/api/v1.0/download", goodJob},
		{"reset", &updater{snapshot: half}, "DELETE", "/api/v1.0/download", ""},
		{"idle", &updater{snapshot: idle}, "GET", "/api/v1.0/progress", ""},
		{"downloading", &updater{snapshot: half}, "GET", "/api/v1.0/progress", ""},
		{"the short path", &updater{snapshot: half}, "GET", "/progress", ""},
		{"verifying", &updater{snapshot: in(fsm.Verifying, 100, "Verifying")}, "GET", "/progress", ""},
		{"ready", &updater{snapshot: in(fsm.Ready, 100, "Package ready")}, "GET", "/progress", ""},
		{"failed, and tried again", &updater{snapshot: failed}, "GET", "/progress", ""},
		{"failed for good", &updater{snapshot: mismatch}, "GET", "/progress", ""},
		{"waiting for the next retry", &updater{snapshot: waiting}, "GET", "/progress", ""},
		{"healthy", &updater{}, "GET", "/healthz", ""},
		{"not healthy", &updater{health: errors.New("write the journal: input/output error")}, "GET", "/healthz", ""},
		{"no such path", &updater{}, "GET", "/api/v2.0/progress", ""},
		{"no metrics on this listener", &updater{}, "GET", "/metrics", ""},
		{"wrong method", &updater{}, "PUT", "/api/v1.0/download", ""},
	} {
		resp, body := do(t, newAPI(tt.updater), request(tt.method, tt.path, tt.body))
		fmt.Fprintf(&got, "# %s\n%s %s\n", tt.name, tt.method, tt.path)
		if tt.body != "" {
			fmt.Fprintf(&got, "%s\n", tt.body)
		}
		fmt.Fprintf(&got, "-> HTTP %d\n%s\n", resp.StatusCode, body)
		for key, want := range map[string]string{
			"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(key); got != want {
				t.Errorf("%s: %s %q, want %q", tt.name, key, got, want)
			}
		}
		if resp.ContentLength != int64(len(body)) {
			t.Errorf("%s: Content-Length %d, the body has %d bytes", tt.name, resp.ContentLength, len(body))
		}
		if strings.Contains(body, "s3cr3t") {
			t.Errorf("%s: the reply contains the URL's query: %s", tt.name, body)
		}
	}

	golden := filepath.Join("testdata", "wire.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the replies changed; got:\n%s", got.String())
	}
}

func TestDownloadStartsTheJob(t *testing.T) {
	u := &updater{}
	withSHA := strings.TrimSuffix(goodJob, "}") + `,"package_sha256":"` + strings.Repeat("ab", 32) + `","force":true}`
	if resp, body := do(t, newAPI(u), request("POST", "/api/v1.0/download", withSHA)); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	want := journal.Job{Version: "1.2.3", URL: "https://origin.example/u.zip?X-Amz-Signature=s3cr3t", Name: "u.zip",
		Size: 104857600, MD5: goodMD5, SHA256: strings.Repeat("ab", 32)}
	if len(u.started) != 1 || u.started[0] != want {
		t.Errorf("started %+v, want %+v", u.started, want)
	}
}

func TestOnlyOneOfTwoSimultaneousJobsStarts(t *testing.T) {
	u := &updater{}
	h := newAPI(u)
	codes := make([]int, 2)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			body := strings.Replace(goodJob, "1.2.3", fmt.Sprintf("1.2.%d", i), 1)
			_, reply := do(t, h, request("POST", "/api/v1.0/download", body))
			var envelope struct{ Code int }
			if err := json.Unmarshal([]byte(reply), &envelope); err != nil {
				t.Error(err)
			}
			codes[i] = envelope.Code
		})
	}
	wg.Wait()
	if min(codes[0], codes[1]) != 200 || max(codes[0], codes[1]) != 409 {
		t.Errorf("codes %v, want one 200 and one 409", codes)
	}
	if len(u.started) != 1 {
		t.Errorf("%d jobs were started, want 1", len(u.started))
	}
}

func TestInvalidJobsAreRefusedWithTheField(t *testing.T) {
	replace := func(from, to string) string { return strings.Replace(goodJob, from, to, 1) }
	for _, tt := range []struct{ name, body, want string }{
		{"empty body", "", "body"},
		{"not an object", "[]", "body"},
		{"null", "null", "body"},
		{"cut off", goodJob[:60], "body"},
		{"more after the object", goodJob + "{}", "body"},
		{"not UTF-8", replace("u.zip?", "\xff?"), "body"},
		{"empty object", "{}", "version"},
		{"version missing", replace(`"version":"1.2.3",`, ""), "version"},
		{"version null", replace(`"1.2.3"`, "null"), "version"},
		{"version a number", replace(`"1.2.3"`, "1.2"), "version"},
		{"version empty", replace("1.2.3", ""), "version"},
		{"version of two numbers", replace("1.2.3", "1.2"), "version"},
		{"version with a tail", replace("1.2.3", "1.2.3-rc1"), "version"},
		{"version with a line feed", replace("1.2.3", `1.2.3\n`), "version"},
		{"version of another script", replace("1.2.3", "1.2.٣"), "version"},
		{"version twice", replace(`"version"`, `"version":"1.2.3","version"`), "version"},
		{"version in another case", replace(`"version"`, `"Version"`), "version"},
		{"url missing", replace("package_url", "url"), "package_url"},
		{"url an object", replace(`"https://origin.example/u.zip?X-Amz-Signature=s3cr3t"`, `{"a":1}`), "package_url"},
		{"url too long", replace("s3cr3t", strings.Repeat("x", 4096)), "package_url"},
		{"name null", replace(`"u.zip"`, "null"), "package_name"},
		{"name with a path", replace(`"u.zip"`, `"../u.zip"`), "package_name"},
		{"name of the journal", replace(`"u.zip"`, `"journal.db"`), "package_name"},
		{"size missing", replace(`"package_size":104857600,`, ""), "package_size"},
		{"size a string", replace("104857600", `"104857600"`), "package_size"},
		{"size a fraction", replace("104857600", "1.5"), "package_size"},
		{"size zero", replace("104857600", "0"), "package_size"},
		{"size negative", replace("104857600", "-1"), "package_size"},
		{"size beyond 64 bits", replace("104857600", "9223372036854775808"), "package_size"},
		{"size true", replace("104857600", "true"), "package_size"},
		{"md5 empty", replace(goodMD5, ""), "package_md5"},
		{"md5 in upper case", replace(goodMD5, strings.ToUpper(goodMD5)), "package_md5"},
		{"md5 twice", replace(`"package_md5"`, `"package_md5":null,"package_md5"`), "package_md5"},
		{"sha256 too short", strings.TrimSuffix(goodJob, "}") + `,"package_sha256":"ab"}`, "package_sha256"},
		{"sha256 a number", strings.TrimSuffix(goodJob, "}") + `,"package_sha256":1}`, "package_sha256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &updater{}
			resp, body := do(t, newAPI(u), request("POST", "/api/v1.0/download", tt.body))
			if want := `{"code":400,"msg":"VALIDATION_ERROR: ` + tt.want + ` `; !strings.HasPrefix(body, want) {
				t.Errorf("reply %q, want %q", body, want)
			}
			if resp.StatusCode != 200 {
				t.Errorf("HTTP %d, want 200 from a handler", resp.StatusCode)
			}
			if len(u.started) != 0 {
				t.Errorf("started %v", u.started)
			}
			if strings.Contains(body, "s3cr3t") {
				t.Errorf("the reply contains the URL's query: %s", body)
			}
		})
	}
}

// hanging is an updater whose commands wait for their context.
type hanging struct{ *updater }

func (hanging) Reset(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestCommandsAreAnsweredWithinTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := deviceapi.New(deviceapi.Config{Updater: hanging{&updater{}}, Addrs: []string{"127.0.0.1:12315"}, Log: quiet()})
		start := time.Now()
		_, body := do(t, h, request("DELETE", "/api/v1.0/download", ""))
		if took := time.Since(start); took != 10*time.Second || !strings.HasPrefix(body, `{"code":503,`) {
			t.Errorf("%s after %v, want 503 after 10 s", body, took)
		}
	})
}

func TestOptionalDigestMayBeNull(t *testing.T) {
	u := &updater{}
	body := strings.TrimSuffix(goodJob, "}") + `,"package_sha256":null}`
	if _, reply := do(t, newAPI(u), request("POST", "/api/v1.0/download", body)); len(u.started) != 1 {
		t.Errorf("reply %s", reply)
	}
}

func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"OPTIONS", "/api/v1.0/download", 405, "DELETE, POST"},
		{"OPTIONS", "/api/v1.0/progress", 405, "GET"},
		{"OPTIONS", "/progress", 405, "GET"},
		{"OPTIONS", "/healthz", 405, "GET"},
		{"HEAD", "/healthz", 200, ""},
	} {
		resp, _ := do(t, newAPI(&updater{}), request(tt.method, tt.path, ""))
		if got := resp.Header.Get("Allow"); resp.StatusCode != tt.status || got != tt.allow {
			t.Errorf("%s %s: HTTP %d, Allow %q, want %d, %q", tt.method, tt.path, resp.StatusCode, got, tt.status, tt.allow)
		}
	}
}

func TestMetricsAreServedOnTheChosenListener(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ota_build_info 1\n")) })
	together := deviceapi.New(deviceapi.Config{Updater: &updater{}, Metrics: metrics, Addrs: []string{"127.0.0.1:12315"}, Log: quiet()})
	alone := deviceapi.NewMetrics(metrics)
	onAll := func(addr string) http.Handler {
		return deviceapi.New(deviceapi.Config{Updater: &updater{}, Metrics: metrics, Addrs: []string{"127.0.0.1:12315", addr}, Log: quiet()})
	}
	named := func(method, path string) *http.Request {
		r := request(method, path, "")
		r.Host = "board7.lan:9100"
		return r
	}
	otherName := named("GET", "/metrics")
	for _, tt := range []struct {
		name    string
		handler http.Handler
		request *http.Request
		want    int
	}{
		{"on the API's listener", together, request("GET", "/metrics", ""), 200},
		{"on the API's listener under another name", together, otherName, http.StatusMisdirectedRequest},
		{"on all addresses under any name", onAll(":12315"), otherName, 200},
		{"on all addresses of IPv4", onAll("0.0.0.0:12315"), otherName, 200},
		{"on all addresses of IPv6", onAll("[::]:12315"), otherName, 200},
		{"not on another address", onAll("192.168.1.7:12315"), otherName, http.StatusMisdirectedRequest},
		{"not on a socket's path", onAll("unix:/run/otad.sock"), otherName, http.StatusMisdirectedRequest},
		{"no progress under any name", onAll(":12315"), named("GET", "/progress"), http.StatusMisdirectedRequest},
		{"no page under any name", onAll(":12315"), named("GET", "/"), http.StatusMisdirectedRequest},
		{"no command under any name", onAll(":12315"), named("POST", "/api/v1.0/download"), http.StatusMisdirectedRequest},
		{"no other method under any name", onAll(":12315"), named("POST", "/metrics"), http.StatusMisdirectedRequest},
		{"no longer path under any name", onAll(":12315"), named("GET", "/metrics/"), http.StatusMisdirectedRequest},
		{"on their own listener under any name", alone, otherName, 200},
		{"no other path there", alone, request("GET", "/progress", ""), 404},
		{"no POST there", alone, request("POST", "/metrics", "{}"), 405},
	} {
		if resp, body := do(t, tt.handler, tt.request); resp.StatusCode != tt.want {
			t.Errorf("%s: HTTP %d %s, want %d", tt.name, resp.StatusCode, body, tt.want)
		}
	}
}
