package netio_test

import (
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"otad/netio"
)

func TestContentRange(t *testing.T) {
	tests := []struct {
		text string
		want netio.ContentRange // zero: refused
	}{
		{"bytes 0-0/1", netio.ContentRange{0, 1, 1}},
		{"bytes 4-9/10", netio.ContentRange{4, 10, 10}},
		{"Bytes 4-9/10", netio.ContentRange{4, 10, 10}},
		{"bytes 4-9/*", netio.ContentRange{4, 10, -1}},
		{"bytes */10", netio.ContentRange{0, 0, 10}},
		{"bytes 00-09/0010", netio.ContentRange{0, 10, 10}},
		{"bytes 0-9223372036854775806/9223372036854775807", netio.ContentRange{0, math.MaxInt64, math.MaxInt64}},
		{text: ""}, {text: "bytes"}, {text: "bytes "}, {text: "4-9/10"}, {text: "bytes=4-9/10"}, {text: "bytes: 4-9/10"}, {text: "items 4-9/10"},
		{text: "bytes  4-9/10"}, {text: " bytes 4-9/10"}, {text: "bytes 4-9/10 "}, {text: "bytes 4 -9/10"}, {text: "bytes 4-9 /10"},
		{text: "bytes 4-9"}, {text: "bytes 4-/10"}, {text: "bytes -9/10"}, {text: "bytes 4-9/"}, {text: "bytes /10"}, {text: "bytes */*"},
		{text: "bytes 9-4/10"}, {text: "bytes 4-10/10"}, {text: "bytes +4-9/10"}, {text: "bytes 4--9/10"}, {text: "bytes 4-9/-10"},
		{text: "bytes 4-9/10/11"}, {text: "bytes 4-5-9/10"}, {text: "bytes 0x4-9/10"}, {text: "bytes 4_0-90/100"}, {text: "bytes ٤-9/10"},
		{text: "bytes 0-9223372036854775807/*"}, {text: "bytes 0-9/9223372036854775808"},
	}
	for _, tt := range tests {
		got, text, ok := netio.ParseContentRange(tt.text)
		if refused := tt.want == (netio.ContentRange{}); ok == refused || ok && got != tt.want {
			t.Errorf("parse %q = %+v (%s), %v; want %+v", tt.text, got, text, ok, tt.want)
		}
	}
}

// FuzzContentRange checks that an accepted range is valid, and that it is the
// same after formatting and parsing it again.
func FuzzContentRange(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		got, text, ok := netio.ParseContentRange(s)
		if !ok {
			return
		}
		unsatisfied := got.Start == 0 && got.End == 0 && got.Total >= 0
		if !unsatisfied && (got.Start < 0 || got.End <= got.Start || got.Total >= 0 && got.End > got.Total) {
			t.Errorf("accepted %q as %+v", s, got)
		}
		if again, _, ok := netio.ParseContentRange(text); !ok || again != got {
			t.Errorf("%q is %+v, written %q, read again as %+v, %v", s, got, text, again, ok)
		}
		if len(strings.Fields(s)) != 2 {
			t.Errorf("accepted %q", s)
		}
	})
}

func TestRetryAfterCanBeIgnored(t *testing.T) {
	for _, value := range []string{"0", "7", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		if got := netio.RetryAfter(http.Header{"Retry-After": {value}}, time.Now(), 0); got != 0 {
			t.Errorf("%s: %v, want none", value, got)
		}
	}
	f := replying(t, response(503, "", "Retry-After: 7\r\n")).fetcher(t, netio.Config{})
	_, err := f.Open(t.Context(), netio.Request{URL: objectURL})
	if e := wantError(t, err, netio.Transient, netio.ReasonHTTP5xx); e.Wait != 0 {
		t.Errorf("wait %v although RetryAfterMax is 0", e.Wait)
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Mon, 02 Nov 2026 10:00:00 GMT"
	now := time.Date(2026, 11, 2, 9, 59, 0, 0, time.UTC)
	tests := []struct {
		name, retryAfter, date string
		want                   time.Duration
	}{
		{"none", "", date, 0},
		{"seconds", "120", date, 2 * time.Minute},
		{"no seconds", "0", date, 0},
		{"the cap itself", "300", date, 5 * time.Minute},
		{"over the cap", "301", date, 5 * time.Minute},
		{"seconds that a Duration cannot hold", "9223372036854775807", date, 5 * time.Minute},
		{"seconds that no int64 can hold", "99999999999999999999", date, 0},
		{"negative", "-5", date, 0},
		{"signed", "+5", date, 0},
		{"fraction", "1.5", date, 0},
		{"words", "soon", date, 0},
		{"date from the response's Date", "Mon, 02 Nov 2026 10:00:30 GMT", date, 30 * time.Second},
		{"date from now, no Date", "Mon, 02 Nov 2026 10:00:30 GMT", "", 90 * time.Second},
		{"date from now, malformed Date", "Mon, 02 Nov 2026 10:00:30 GMT", "today", 90 * time.Second},
		{"date of RFC 850", "Monday, 02-Nov-26 10:00:30 GMT", date, 30 * time.Second},
		{"date of asctime", "Mon Nov  2 10:00:30 2026", date, 30 * time.Second},
		{"past", "Mon, 02 Nov 2026 09:00:00 GMT", date, 0},
		{"far", "Fri, 31 Dec 9999 23:59:59 GMT", date, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Retry-After": {tt.retryAfter}, "Date": {tt.date}}
			if got := netio.RetryAfter(h, now, 5*time.Minute); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzRetryAfter checks that the wait is bounded for any header.
func FuzzRetryAfter(f *testing.F) {
	f.Fuzz(func(t *testing.T, retryAfter, date string) {
		h := http.Header{"Retry-After": {retryAfter}, "Date": {date}}
		if got := netio.RetryAfter(h, time.Unix(0, 0), 5*time.Minute); got < 0 || got > 5*time.Minute {
			t.Errorf("Retry-After %q at Date %q: %v", retryAfter, date, got)
		}
	})
}

// codeEndingAt returns an error document in which the code ends at offset n.
func codeEndingAt(n int) string {
	const begin, code = "<Error>", "<Code>AccessDenied"
	return begin + strings.Repeat(" ", n-len(begin+code)) + code + "</Code></Error>"
}

// azure returns an error document of Azure's blob storage.
func azure(detail string) string {
	return "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.\nRequestId:x\nTime:2020-07-10T10:16:22.8096444Z</Message>" +
		"<AuthenticationErrorDetail>" + detail + "</AuthenticationErrorDetail></Error>"
}

func TestS3Error(t *testing.T) {
	tests := []struct {
		name, text, code string
		expired          bool
	}{
		{"AWS", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires></Error>", "AccessDenied", true},
		{"order does not matter", "<Error><Message>request HAS EXPIRED.</Message><Code>AccessDenied</Code></Error>", "AccessDenied", true},
		{"denied", "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", "AccessDenied", false},
		{"not yet valid", "<Error><Code>AccessDenied</Code><Message>Request is not valid yet</Message></Error>", "AccessDenied", false},
		{"another code is not about the URL", "<Error><Code>NoSuchKey</Code><Message>it has expired</Message></Error>", "NoSuchKey", false},
		{"GCS", "<?xml version='1.0' encoding='UTF-8'?><Error><Code>ExpiredToken</Code><Message>Invalid argument.</Message></Error>", "ExpiredToken", true},
		{"R2", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>ExpiredRequest</Code><Message>Request has expired</Message></Error>", "ExpiredRequest", true},
		{"Azure, its time has passed", azure("Signature not valid in the specified time frame: Start [Thu, 09 Jul 2020 10:11:03 GMT] - Expiry [Thu, 09 Jul 2020 18:11:03 GMT] - Current [Fri, 10 Jul 2020 10:16:22 GMT]"), "AuthenticationFailed", true},
		{"Azure, its time has just passed", azure("Signature not valid in the specified time frame: Start [Thu, 09 Jul 2020 10:11:03 GMT] - Expiry [Thu, 09 Jul 2020 18:11:03 GMT] - Current [Thu, 09 Jul 2020 18:11:03 GMT]"), "AuthenticationFailed", true},
		{"Azure, its time is to come", azure("Signature not valid in the specified time frame: Start [Thu, 09 Jul 2020 10:11:03 GMT] - Expiry [Thu, 09 Jul 2020 18:11:03 GMT] - Current [Wed, 08 Jul 2020 10:16:22 GMT]"), "AuthenticationFailed", false},
		{"Azure, without a start", azure("Signed expiry time [Thu, 25 Jun 2026 00:31:00 GMT] must be after signed start time [Thu, 25 Jun 2026 01:31:57 GMT]"), "AuthenticationFailed", true},
		{"Azure, signature", azure("Signature did not match. String to sign used was r"), "AuthenticationFailed", false},
		{"Azure, times that are none", azure("Signature not valid in the specified time frame: Expiry [soon] - Current ["), "AuthenticationFailed", false},
		{"CloudFront does not tell", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>", "AccessDenied", false},
		{"RequestExpired", "<Error><Code>RequestExpired</Code></Error>", "RequestExpired", true},
		{"STS", `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>ExpiredToken</Code></Error></ErrorResponse>`, "ExpiredToken", true},
		{"expired elsewhere", "<Error><Code>AccessDenied</Code><Details><Message>expired</Message></Details></Error>", "AccessDenied", false},
		{"space around the code", "<Error><Code>\n NoSuchKey \n</Code></Error>", "NoSuchKey", false},
		{"cut short", "<Error><Code>AccessDenied</Code><Message>Request has expired</Mess", "AccessDenied", true},
		{"cut in the code", "<Error><Code>Access", "Access", false},
		{"no code", "<Error><Message>Request has expired</Message></Error>", "", false},
		{"code with a URL", "<Error><Code>https://h/?sig=1</Code></Error>", "", false},
		{"code too long", "<Error><Code>" + strings.Repeat("a", 65) + "</Code></Error>", "", false},
		{"another document", "<html><body><Error><Code>AccessDenied</Code></Error></body></html>", "", false},
		{"no document", "Forbidden", "", false},
		{"empty", "", "", false},
		{"up to 64 KiB", codeEndingAt(64 << 10), "AccessDenied", false},
		{"one byte past 64 KiB", codeEndingAt(64<<10 + 1), "AccessDenie", false},
		{"beyond 64 KiB", "<Error>" + strings.Repeat(" ", 64<<10) + "<Code>AccessDenied</Code></Error>", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, expired := netio.ReadS3Error(strings.NewReader(tt.text)); code != tt.code || expired != tt.expired {
				t.Errorf("got %q, %v; want %q, %v", code, expired, tt.code, tt.expired)
			}
		})
	}
}

// FuzzS3Error checks that the code is one short word for any body, and that
// there is no expiry without a code.
func FuzzS3Error(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		r := strings.NewReader(text)
		code, expired := netio.ReadS3Error(r)
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		if strings.Trim(code, letters) != "" || len(code) > 64 || expired && code == "" {
			t.Errorf("%q gives %q, %v", text, code, expired)
		}
		if read := len(text) - r.Len(); read > 64<<10 {
			t.Errorf("read %d bytes", read)
		}
	})
}

// A fuzz target without seeds passes without testing anything.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	for _, target := range []string{"FuzzContentRange", "FuzzRetryAfter", "FuzzS3Error"} {
		if seeds, err := os.ReadDir("testdata/fuzz/" + target); err != nil || len(seeds) == 0 {
			t.Errorf("%s has %d seeds, %v", target, len(seeds), err)
		}
	}
}

func TestValidatorDiffers(t *testing.T) {
	type v = netio.Validator
	tests := []struct {
		name      string
		then, now v
		want      string
	}{
		{"the same", known, known, ""},
		{"no old validator", v{}, known, ""},
		{"no new validator", known, v{}, ""},
		{"weakened", v{ETag: `"a"`}, v{ETag: `W/"a"`}, ""},
		{"strengthened", v{ETag: `W/"a"`}, v{ETag: `"a"`}, ""},
		{"ETag", v{ETag: `"a"`, Total: 1}, v{ETag: `"b"`, Total: 1}, "ETag"},
		{"ETag in another case", v{ETag: `"a"`}, v{ETag: `"A"`}, "ETag"},
		{"weak ETag", v{ETag: `W/"a"`}, v{ETag: `W/"b"`}, "ETag"},
		{"date under the same ETag", v{ETag: `"a"`, LastModified: "x"}, v{ETag: `"a"`, LastModified: "y"}, ""},
		{"date under the same weak ETag", v{ETag: `W/"a"`, LastModified: "x"}, v{ETag: `W/"a"`, LastModified: "y"}, "Last-Modified"},
		{"date under a weakened ETag", v{ETag: `"a"`, LastModified: "x"}, v{ETag: `W/"a"`, LastModified: "y"}, "Last-Modified"},
		{"date under no ETag", v{LastModified: "x"}, v{LastModified: "y"}, "Last-Modified"},
		{"without quotes", v{ETag: `"a"`, LastModified: "x"}, v{ETag: `a`, LastModified: "y"}, ""},
		{"with quotes", v{ETag: `a`}, v{ETag: `"a"`}, ""},
		{"weak without quotes", v{ETag: `W/a`}, v{ETag: `"a"`}, ""},
		{"another without quotes", v{ETag: `"a"`}, v{ETag: `b`}, "ETag"},
		{"total under the same ETag", v{ETag: `"a"`, Total: 1}, v{ETag: `"a"`, Total: 2}, "size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.then.Differs(tt.now); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStrongETag(t *testing.T) {
	for etag, want := range map[string]bool{
		`"a"`: true, `""`: true, `"9bb58f26192e4ba00f01e2e7b136bbd8-40"`: true, `"a:/+=,;"`: true,
		``: false, `"`: false, `a`: false, `W/"a"`: false, `"a`: false, `a"`: false, `"a"b"`: false, `"a b"`: false, "\"a\r\nX: y\"": false, "\"\xff\"": false,
	} {
		if got := netio.IsStrong(etag); got != want {
			t.Errorf("%q: got %v, want %v", etag, got, want)
		}
	}
}

func TestReasonsAreDistinctLabels(t *testing.T) {
	seen := make(map[netio.Reason]bool)
	for _, r := range netio.Reasons() {
		if r == "" || seen[r] || strings.Trim(string(r), "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("reason %q", r)
		}
		seen[r] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d reasons, want 12", len(seen))
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[netio.Kind]string{netio.Transient: "transient", netio.TooLong: "too long", -1: "kind -1", 99: "kind 99"} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
