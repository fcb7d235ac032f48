package fsm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/fsm"
	"otad/netio"
	"otad/netio/origintest"
)

// expired are the rules of a signed URL that is past its time, as different
// servers tell it.
func expired() map[string]func(*origintest.Rule) *origintest.Rule {
	return map[string]func(*origintest.Rule) *origintest.Rule{
		"AWS":       (*origintest.Rule).ExpiredAWS,
		"MinIO":     (*origintest.Rule).ExpiredMinIO,
		"versitygw": (*origintest.Rule).ExpiredVersity,
	}
}

func TestSignatureExpired(t *testing.T) {
	var rows []row
	for server, is := range expired() {
		const fails = "DOWNLOAD_FAILED: URL_EXPIRED the signed URL has expired (HTTP 403 AccessDenied)"
		rows = append(rows,
			row{
				name: server + " before the first byte", script: script(is(always())),
				fails: fails, requests: []string{"0-: 403"},
			},
			row{
				name: server + " in the middle", script: script(on(1).ResetAt(350_000), is(from(2))),
				fails: fails, requests: []string{"0-: 206", "350000- if-match: 403"},
				retries: "reset 1", left: "part 350000", took: time.Second,
			})
	}
	prove(t, rows)
}

func TestRefusalIsFinal(t *testing.T) {
	type rule = origintest.Rule
	type refusal struct {
		name, says string
		status     int
		is         func(*rule) *rule
	}
	refusals := []refusal{
		{"signature", "HTTP 403 SignatureDoesNotMatch", 403, func(r *rule) *rule {
			return r.S3Error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
		}},
		{"key of the account", "HTTP 403 InvalidAccessKeyId", 403, func(r *rule) *rule {
			return r.S3Error(403, "InvalidAccessKeyId", "The key you provided does not exist in our records.")
		}},
		{"no access", "HTTP 403 AccessDenied", 403, func(r *rule) *rule { return r.S3Error(403, "AccessDenied", "Access Denied") }},
		{"no such key", "HTTP 404 NoSuchKey", 404, func(r *rule) *rule {
			return r.S3Error(404, "NoSuchKey", "The specified key does not exist.")
		}},
		{"expired, but not as S3 says it", "HTTP 403", 403, func(r *rule) *rule {
			return r.Status(403).Text("<html>Request has expired</html>")
		}},
		{"404 with Retry-After is no invitation", "HTTP 404", 404, func(r *rule) *rule { return r.Status(404).RetryAfter("1") }},
		{"text without end", "HTTP 500", 500, func(r *rule) *rule { return r.Status(500).EndlessText() }},
		{"text of 1 MiB", "HTTP 500", 500, func(r *rule) *rule { return r.Status(500).Text(strings.Repeat("<Error>", 150_000)) }},
		{"redirect to nowhere", "HTTP 302", 302, func(r *rule) *rule { return r.Status(302) }},
	}
	for _, status := range []int{400, 401, 403, 404, 410, 429, 500, 502, 503, 504} {
		says := fmt.Sprintf("HTTP %d", status)
		refusals = append(refusals, refusal{says, says, status, func(r *rule) *rule { return r.Status(status) }})
	}
	var rows []row
	for _, refused := range refusals {
		fails := "DOWNLOAD_FAILED: " + refused.says
		first := []string{fmt.Sprintf("0-: %d", refused.status)}
		if refused.status == 403 { // the Range may be what is refused
			first = append(first, ": 403")
		}
		rows = append(rows,
			row{
				name: refused.name + ", of the first byte", script: script(refused.is(always())),
				fails: fails, requests: first,
			},
			row{
				name: refused.name + ", in the middle", script: script(on(1).ResetAt(350_000), refused.is(from(2))),
				fails: fails, requests: []string{"0-: 206", fmt.Sprintf("350000- if-match: %d", refused.status)},
				retries: "reset 1", left: "part 350000", took: time.Second,
			})
	}
	prove(t, rows)
}

func TestErrorTextThatDripsIsNotWaitedFor(t *testing.T) {
	prove(t, []row{{
		name: "a byte a second", script: script(always().Status(500).EndlessText().Drip(1, time.Second)),
		fails: "DOWNLOAD_FAILED: HTTP 500", requests: []string{"0-: 500"}, took: 30 * time.Second,
	}})
}

func TestListedStatusIsTriedAgain(t *testing.T) {
	list := func(status ...int) func(*netio.Config, *origintest.Origin) {
		return func(c *netio.Config, _ *origintest.Origin) { c.RetryStatus = status }
	}
	prove(t, []row{
		{
			name: "500 twice", script: script(span(1, 2).Status(500)), net: list(429, 500, 502, 503, 504),
			requests: []string{"0-: 500", "0-: 500", "0-: 206"},
			retries:  "http_5xx 2", took: 3 * time.Second,
		},
		{
			name: "404 once, in the middle", script: script(on(1).ResetAt(350_000), on(2).Status(404)), net: list(404),
			requests: []string{"0-: 206", "350000- if-match: 404", "350000- if-match: 206"},
			retries:  "http_4xx 1, reset 1", took: 3 * time.Second,
		},
		{
			name: "429 once", script: script(on(1).Status(429)), net: list(429),
			requests: []string{"0-: 429", "0-: 206"},
			retries:  "http_429 1", took: time.Second,
		},
		{
			name: "503 for ever", script: script(always().Status(503)), net: list(503),
			fails:    "DOWNLOAD_FAILED: HTTP 503 Service Unavailable" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 503", "0-: 503", "0-: 503", "0-: 503"},
			retries:  "http_5xx 3", took: 7 * time.Second,
		},
		{
			name: "another one than those listed", script: script(always().Status(502)), net: list(500, 503),
			fails:    "DOWNLOAD_FAILED: HTTP 502",
			requests: []string{"0-: 502"},
		},
		{
			name: "an expired signature is no 403 to be tried again", script: script(always().ExpiredAWS()), net: list(403),
			fails:    "DOWNLOAD_FAILED: URL_EXPIRED",
			requests: []string{"0-: 403"},
		},
	})
}

func TestRetryAfter(t *testing.T) {
	type rule = origintest.Rule
	waits := []struct {
		name string
		is   func(*rule) *rule
		wait time.Duration
	}{
		{"seconds", func(r *rule) *rule { return r.RetryAfter("7") }, 7 * time.Second},
		{"date", func(r *rule) *rule { return r.RetryAfterDate(90 * time.Second) }, 90 * time.Second},
		{
			"date of an origin in another year",
			func(r *rule) *rule {
				return r.ClockAhead(20 * 365 * 24 * time.Hour).RetryAfterDate(90 * time.Second)
			},
			90 * time.Second,
		},
		{
			"date without the answer's own",
			func(r *rule) *rule { return r.RetryAfterDate(90*time.Second).Header("Date", "") },
			90 * time.Second,
		},
		{"far too long", func(r *rule) *rule { return r.RetryAfter("1000000000") }, 5 * time.Minute},
		{"date far too late", func(r *rule) *rule { return r.RetryAfterDate(100 * 24 * time.Hour) }, 5 * time.Minute},
		// What makes no sense is an invitation all the same: our own back-off.
		{"zero", func(r *rule) *rule { return r.RetryAfter("0") }, time.Second},
		{"negative", func(r *rule) *rule { return r.RetryAfter("-5") }, time.Second},
		{"date in the past", func(r *rule) *rule { return r.RetryAfterDate(-time.Hour) }, time.Second},
		{"no number", func(r *rule) *rule { return r.RetryAfter("soon") }, time.Second},
		{"a fraction", func(r *rule) *rule { return r.RetryAfter("1.5") }, time.Second},
		{"beyond all numbers", func(r *rule) *rule { return r.RetryAfter("99999999999999999999") }, time.Second},
	}
	var rows []row
	for _, w := range waits {
		rows = append(rows, row{
			name: w.name, script: script(w.is(on(1).Status(503))),
			requests: []string{"0-: 503", "0-: 206"},
			retries:  "http_5xx 1", took: w.wait,
		})
	}
	for _, status := range []int{403, 500, 502, 504} {
		reason := "http_5xx"
		if status == 403 {
			reason = "http_4xx"
		}
		answer, says := fmt.Sprintf("0-: %d", status), fmt.Sprintf("DOWNLOAD_FAILED: HTTP %d ", status)
		rows = append(rows,
			row{
				name: fmt.Sprint(status, " carries it"), script: script(on(1).Status(status).RetryAfter("7")),
				requests: []string{answer, "0-: 206"}, retries: reason + " 1", took: 7 * time.Second,
			},
			row{
				name: fmt.Sprint(status, " carries it for ever, in the middle"), script: script(on(1).ResetAt(350_000), from(2).Status(status).RetryAfter("1")),
				fails: says, requests: append([]string{"0-: 206"}, slices.Repeat([]string{fmt.Sprintf("350000- if-match: %d", status)}, 3)...),
				retries: reason + " 2, reset 1", left: "part 350000", took: 3 * time.Second,
			})
	}
	prove(t, append(rows,
		row{
			name: "429 until a date", script: script(on(1).Status(429).RetryAfterDate(90 * time.Second)),
			requests: []string{"0-: 429", "0-: 206"},
			retries:  "http_429 1", took: 90 * time.Second,
		},
		row{
			name: "429 in the middle", script: script(on(1).ResetAt(350_000), on(2).Status(429).RetryAfter("60")),
			requests: []string{"0-: 206", "350000- if-match: 429", "350000- if-match: 206"},
			retries:  "http_429 1, reset 1", took: 61 * time.Second,
		},
		row{
			name: "for ever", script: script(always().Status(503).RetryAfter("10")),
			fails:    "DOWNLOAD_FAILED: HTTP 503 Service Unavailable" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 503", "0-: 503", "0-: 503", "0-: 503"},
			retries:  "http_5xx 3", took: 30 * time.Second,
		},
		row{
			name: "with no retries", script: script(always().Status(503).RetryAfter("10")), cfg: func(c *fsm.Config) { c.Retries = 0 },
			fails:    "DOWNLOAD_FAILED: HTTP 503",
			requests: []string{"0-: 503"},
		}))
}
