package netio_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"otad/netio"
)

const object = "0123456789"

const tagged = "ETag: \"a\"\r\nLast-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n"

// known is the validator of object in a response with the tagged header.
var known = netio.Validator{ETag: `"a"`, LastModified: "Mon, 02 Nov 2026 10:00:00 GMT", Total: 10}

// etagOf returns a strong ETag of n bytes.
func etagOf(n int) string {
	return `"` + strings.Repeat("x", n-2) + `"`
}

// at80 is the place of the origins in an error text.
const at80 = " (http://127.0.0.1:80)"

// fields are the exported fields of a Body.
type fields struct {
	Offset, Size int64
	Validator    netio.Validator
	Status       int
	RangeIgnored bool
}

func TestUsableResponse(t *testing.T) {
	type validator = netio.Validator
	fresh := netio.Request{Size: 10}
	resume := netio.Request{Offset: 4, Size: 10, Validator: known}
	first := netio.Request{Offset: 4, Size: 10} // without a validator
	total := validator{Total: 10, Absent: true}
	absent := validator{Absent: true}
	at0 := func(status int, v validator) fields {
		return fields{Size: 10, Validator: v, Status: status}
	}
	at4 := func(v validator) fields {
		return fields{Offset: 4, Size: 10, Validator: v, Status: 206}
	}
	modified := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name    string
		req     netio.Request
		text    string
		want    fields
		dropped int64
	}{
		{"206 from the start", fresh, partial(0, 10, object, tagged), at0(206, known), 0},
		{"206 at the offset", resume, partial(4, 10, object[4:], tagged), at4(known), 0},
		{"206 that begins earlier", first, partial(1, 10, object[1:], tagged), at4(known), 3},
		{"206 contains the size", netio.Request{}, partial(0, 10, object, ""), at0(206, total), 0},
		{"206 without a total", first,
			"HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/*\r\nContent-Length: 6\r\n\r\n" + object[4:],
			at4(absent), 0},
		{"206 without Content-Length", first,
			"HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/10\r\n\r\n" + object[4:], at4(total), 0},
		{"206 without Last-Modified keeps the known one", resume,
			partial(4, 10, object[4:], "ETag: \"a\"\r\n"), at4(known), 0},
		{"206 whose ETag a proxy weakened", resume, partial(4, 10, object[4:], "ETag: W/\"a\"\r\n"),
			at4(validator{ETag: `W/"a"`, LastModified: known.LastModified, Total: 10}), 0},
		{"identity is accepted", fresh,
			partial(0, 10, object, "Content-Encoding: identity\r\n"), at0(206, total), 0},
		{"IDENTITY is accepted", fresh,
			partial(0, 10, object, "Content-Encoding: IDENTITY\r\n"), at0(206, total), 0},
		{"an empty Content-Encoding is accepted", fresh,
			whole(object, "Content-Encoding:\r\n"), at0(200, total), 0},
		{"200 from the start", fresh, whole(object, tagged), at0(200, known), 0},
		{"200 without a length", fresh, "HTTP/1.1 200 OK\r\n\r\n" + object, at0(200, absent), 0},
		{"chunked 200", fresh,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
			at0(200, absent), 0},
		{"206 from the start forgets the known one", netio.Request{Size: 10, Validator: known}, partial(0, 10, object, ""), at0(206, total), 0},
		{"206 without ETag keeps the known one", resume,
			partial(4, 10, object[4:], "Last-Modified: "+known.LastModified+"\r\n"), at4(known), 0},
		{"206 with another date beside the same ETag", resume,
			partial(4, 10, object[4:], "ETag: \"a\"\r\nLast-Modified: Tue, 03 Nov 2026 10:00:00 GMT\r\n"),
			at4(validator{ETag: `"a"`, LastModified: "Tue, 03 Nov 2026 10:00:00 GMT", Total: 10}), 0},
		{"206 whose ETag has no quotes", resume, partial(4, 10, object[4:], "ETag: a\r\n"),
			at4(validator{ETag: `a`, LastModified: known.LastModified, Total: 10}), 0},
		{"206 without validators, like the stored bytes",
			netio.Request{Offset: 4, Size: 10, Validator: total}, partial(4, 10, object[4:], ""), at4(total), 0},
		{"206 with validators, those of the stored bytes not known",
			netio.Request{Offset: 4, Size: 10, Validator: validator{Total: 10}}, partial(4, 10, object[4:], tagged), at4(known), 0},
		{"codings that are none", netio.Request{}, partial(0, 10, object,
			"Content-Encoding: aws-chunked, ,Binary\r\nContent-Encoding: utf-8\r\n"), at0(206, total), 0},
		{"a stored gzip at an offset", netio.Request{Offset: 4, Size: 10},
			partial(4, 10, object[4:], "Content-Encoding: gzip\r\n"), at4(total), 0},
		{"a stored gzip in a 200", fresh, whole(object, "Content-Encoding: x-own\r\n"), at0(200, total), 0},
		{"200 at an offset with the same strong ETag", resume, whole(object, tagged),
			fields{Offset: 4, Size: 10, Validator: known, Status: 200}, 4},
		{"200 at an offset with the same strong ETag and another date", resume, whole(object, "ETag: \"a\"\r\nLast-Modified: x\r\n"),
			fields{Offset: 4, Size: 10, Validator: validator{ETag: `"a"`, LastModified: "x", Total: 10}, Status: 200}, 4},
		{"200 at an offset with the same weak ETag restarts",
			netio.Request{Offset: 4, Size: 10, Validator: validator{ETag: `W/"a"`, Total: 10}}, whole(object, "ETag: W/\"a\"\r\n"),
			fields{Size: 10, Validator: validator{ETag: `W/"a"`, Total: 10}, Status: 200, RangeIgnored: true}, 0},
		{"200 at an offset without a validator restarts", resume, whole(object, ""),
			fields{Size: 10, Validator: total, Status: 200, RangeIgnored: true}, 0},
		{"a page of the right size", fresh, whole(object, "Content-Type: text/html\r\n"), at0(200, total), 0},
		{"200 at an offset restarts, whatever its ETag", resume, whole(object, "ETag: \"b\"\r\n"),
			fields{Size: 10, Validator: validator{ETag: `"b"`, Total: 10}, Status: 200, RangeIgnored: true}, 0},
		{"a validator of 256 bytes is kept", fresh,
			partial(0, 10, object, "ETag: "+etagOf(256)+"\r\nLast-Modified: "+modified(256)+"\r\n"),
			at0(206, validator{ETag: etagOf(256), LastModified: modified(256), Total: 10}), 0},
		{"a validator of 257 bytes is dropped", fresh,
			partial(0, 10, object, "ETag: "+etagOf(257)+"\r\nLast-Modified: "+modified(257)+"\r\n"),
			at0(206, total), 0},
		{"a validator with a tab is dropped", fresh,
			partial(0, 10, object, "ETag: \"a\tb\"\r\nLast-Modified: x\ty\r\n"), at0(206, total), 0},
		{"an overlong or unprintable validator is dropped", fresh,
			partial(0, 10, object, "ETag: "+etagOf(302)+"\r\nLast-Modified: \xff\r\n"), at0(206, total), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.URL = objectURL
			body, err := replying(t, tt.text).fetcher(t, netio.Config{}).Open(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got := fields{body.Offset, body.Size, body.Validator, body.Status, body.RangeIgnored}
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			content := object[tt.want.Offset:]
			wantContent(t, body, content)
			if body.Discarded() != tt.dropped || body.Received() != tt.dropped+int64(len(content)) {
				t.Errorf("received %d, discarded %d; want %d discarded", body.Received(), body.Discarded(), tt.dropped)
			}
		})
	}
}

func TestUnusableResponse(t *testing.T) {
	resume := netio.Request{Offset: 4, Size: 10, Validator: known}
	fresh := netio.Request{Size: 10}
	length := func(n string) string { return "Content-Length: " + n + "\r\n\r\n" }
	tests := []struct {
		name string
		req  netio.Request
		text string
		want netio.Kind
	}{
		{"206 that begins later", resume, partial(5, 10, object[5:], ""), netio.Permanent},
		{"206 that ends before the offset", resume, partial(0, 10, object[:4], ""), netio.Permanent},
		{"206 without Content-Range", resume, "HTTP/1.1 206 P\r\n" + length("6"), netio.Permanent},
		{"206 with a malformed Content-Range", resume, "HTTP/1.1 206 P\r\nContent-Range: bytes=4-9/10\r\n" + length("6"), netio.Permanent},
		{"206 with the range of a 416", resume, "HTTP/1.1 206 P\r\nContent-Range: bytes */10\r\n" + length("6"), netio.Permanent},
		{"206 with two Content-Ranges", resume, partial(4, 10, object[4:], "Content-Range: bytes 4-9/10\r\n"), netio.Permanent},
		{"206 whose length is not its range's", resume, "HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/10\r\n" + length("5"), netio.Permanent},
		{"206 with another ETag", resume, partial(4, 10, object[4:], "ETag: \"b\"\r\n"), netio.Changed},
		{"206 with another weak ETag", resume, partial(4, 10, object[4:], "ETag: W/\"b\"\r\n"), netio.Changed},
		{"206 with another date", resume, partial(4, 10, object[4:], "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT\r\n"), netio.Changed},
		{"206 with another total", resume, partial(4, 11, object[4:], tagged), netio.Changed},
		{"206 of another size, no validator", fresh, partial(0, 11, object, tagged), netio.WrongSize},
		{"206 with an end past the size", fresh, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-10/*\r\n" + length("11"), netio.WrongSize},
		{"206 without any size", netio.Request{}, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/*\r\n" + length("10"), netio.Permanent},
		{"206 with an encoding", netio.Request{}, partial(0, 10, object, "Content-Encoding: gzip\r\n"), netio.Permanent},
		{"200 with an encoding", netio.Request{}, whole(object, "Content-Encoding: br\r\n"), netio.Permanent},
		{"206 with an encoding on a second line", netio.Request{}, partial(0, 10, object, "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"), netio.Permanent},
		{"206 with a list of encodings", netio.Request{}, partial(0, 10, object, "Content-Encoding: gzip, identity\r\n"), netio.Permanent},
		{"206 with an encoding and no length", fresh, "HTTP/1.1 206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-9/10\r\n\r\n" + object, netio.Permanent},
		{"206 with an encoding and no total", fresh, "HTTP/1.1 206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-9/*\r\n" + length("10") + object, netio.Permanent},
		{"200 with an encoding and no length", fresh, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + object, netio.Permanent},
		{"200 of another size", fresh, whole(object+"x", ""), netio.NotPackage},
		{"200 of another size at an offset, no validator", netio.Request{Offset: 4, Size: 10}, whole(object+"x", ""), netio.NotPackage},
		{"200 of another size than the validator's", resume, whole(object+"x", ""), netio.NotPackage},
		{"200 without any size", netio.Request{}, "HTTP/1.1 200 OK\r\n\r\n" + object, netio.Permanent},
		{"200 of 0 bytes", netio.Request{}, whole("", ""), netio.NotPackage},
		{"204", fresh, "HTTP/1.1 204 No Content\r\n\r\n", netio.Permanent},
		{"304", resume, "HTTP/1.1 304 Not Modified\r\n\r\n", netio.Permanent},
		{"302 without Location", fresh, response(302, "", ""), netio.Permanent},
		{"412, also without If-Match", resume, response(412, "", ""), netio.Permanent},
		{"412 without If-Match", fresh, response(412, "", ""), netio.Permanent},
		{"206 with validators, the stored bytes had none", netio.Request{Offset: 4, Size: 10, Validator: netio.Validator{Total: 10, Absent: true}},
			partial(4, 10, object[4:], "ETag: \"a\"\r\n"), netio.Changed},
		{"206 with a date, the stored bytes had none", netio.Request{Offset: 4, Size: 10, Validator: netio.Validator{Absent: true}},
			partial(4, 10, object[4:], "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT\r\n"), netio.Changed},
		{"206 without validators, the stored bytes had some", resume, partial(4, 10, object[4:], ""), netio.NotPackage},
		{"206 without validators, the stored bytes had a date", netio.Request{Offset: 4, Size: 10, Validator: netio.Validator{LastModified: "x"}},
			partial(4, 10, object[4:], ""), netio.NotPackage},
		{"416 at the size", netio.Request{Offset: 10, Size: 10}, response(416, "", ""), netio.Complete},
		{"416 at the validator's size", netio.Request{Offset: 10, Validator: known}, response(416, "", ""), netio.Complete},
		{"416 with the offset as size", netio.Request{Offset: 10}, response(416, "", "Content-Range: bytes */10\r\n"), netio.Complete},
		{"416 before the size", resume, response(416, "", ""), netio.Unsatisfiable},
		{"416 with another size than the validator's", resume, response(416, "", "Content-Range: bytes */3\r\n"), netio.Changed},
		{"416 with another size", netio.Request{Offset: 10}, response(416, "", "Content-Range: bytes */5\r\n"), netio.Unsatisfiable},
		{"416 at the start", fresh, response(416, "", "Content-Range: bytes */0\r\n"), netio.Unsatisfiable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.URL = objectURL
			_, err := replying(t, tt.text).fetcher(t, netio.Config{}).Open(t.Context(), tt.req)
			reason := netio.Reason("")
			if tt.want == netio.NotPackage {
				reason = netio.ReasonOther
			}
			if e := wantError(t, err, tt.want, reason); e.Status == 0 {
				t.Error("the error has no status")
			}
		})
	}
}

func TestErrorResponse(t *testing.T) {
	const (
		expired = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message><Expires>2026-01-01T00:00:00Z</Expires></Error>`
		denied  = `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`
		r2      = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>ExpiredRequest</Code><Message>Request has expired</Message></Error>`
		token   = `<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>`
		azure   = `<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message><AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [Thu, 09 Jul 2020 10:11:03 GMT] - Expiry [Thu, 09 Jul 2020 18:11:03 GMT] - Current [Fri, 10 Jul 2020 10:16:22 GMT]</AuthenticationErrorDetail></Error>`
		wrapped = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>ExpiredToken</Code></Error></ErrorResponse>`
	)
	type want struct {
		kind   netio.Kind
		reason netio.Reason
		wait   time.Duration
		detail string
	}
	tests := []struct {
		name string
		text string
		want want
	}{
		{"404", response(404, "<Error><Code>NoSuchKey</Code></Error>", ""), want{detail: "HTTP 404 NoSuchKey", kind: netio.Permanent}},
		{"404 in HTML", response(404, "<html><Code>NoSuchKey</Code>", ""), want{detail: "HTTP 404 Not Found", kind: netio.Permanent}},
		{"an invalid code is not shown", response(404, "<Error><Code>see https://h/?q</Code></Error>", ""), want{detail: "HTTP 404 Not Found", kind: netio.Permanent}},
		{"403 expired", response(403, expired, ""), want{detail: "the signed URL has expired (HTTP 403 AccessDenied)", kind: netio.Expired}},
		{"403 denied", response(403, denied, ""), want{detail: "HTTP 403 AccessDenied", kind: netio.Permanent}},
		{"400 with an expired token", response(400, token, ""), want{detail: "the signed URL has expired (HTTP 400 ExpiredToken)", kind: netio.Expired}},
		{"400 of R2", response(400, r2, ""), want{detail: "the signed URL has expired (HTTP 400 ExpiredRequest)", kind: netio.Expired}},
		{"403 of STS", response(403, wrapped, ""), want{detail: "the signed URL has expired (HTTP 403 ExpiredToken)", kind: netio.Expired}},
		{"404 with an expiry", response(404, expired, ""), want{detail: "HTTP 404 AccessDenied", kind: netio.Permanent}},
		{"403 cut off after the message", strings.Replace(response(403, expired[:120], ""), "Content-Length: 120", "Content-Length: 1048576", 1),
			want{detail: "the signed URL has expired (HTTP 403 AccessDenied)", kind: netio.Expired}},
		{"500", response(500, "", ""), want{detail: "HTTP 500 Internal Server Error", kind: netio.Permanent}},
		{"500 with Retry-After", response(500, "", "Retry-After: 7\r\n"), want{netio.Transient, netio.ReasonHTTP5xx, 7 * time.Second, "HTTP 500 Internal Server Error"}},
		{"504 with Retry-After", response(504, "", "Retry-After: 7\r\n"), want{netio.Transient, netio.ReasonHTTP5xx, 7 * time.Second, "HTTP 504 Gateway Timeout"}},
		{"403 with Retry-After", response(403, denied, "Retry-After: 7\r\n"), want{netio.Transient, netio.ReasonHTTP4xx, 7 * time.Second, "HTTP 403 AccessDenied"}},
		{"403 expired with Retry-After", response(403, expired, "Retry-After: 7\r\n"), want{detail: "the signed URL has expired (HTTP 403 AccessDenied)", kind: netio.Expired}},
		{"404 with Retry-After", response(404, "", "Retry-After: 7\r\n"), want{detail: "HTTP 404 Not Found", kind: netio.Permanent}},
		{"501 with Retry-After", response(501, "", "Retry-After: 7\r\n"), want{detail: "HTTP 501 Not Implemented", kind: netio.Permanent}},
		{"a status without a text", response(599, "", ""), want{detail: "HTTP 599", kind: netio.Permanent}},
		{"403 of Azure", response(403, azure, ""), want{detail: "the signed URL has expired (HTTP 403 AuthenticationFailed)", kind: netio.Expired}},
		{"plain http to https", response(400, "Client sent an HTTP request to an HTTPS server.\n", ""),
			want{detail: "HTTP 400 Bad Request: this port is https, the URL is http", kind: netio.Permanent}},
		{"503", response(503, "", ""), want{detail: "HTTP 503 Service Unavailable", kind: netio.Permanent}},
		{"503 with Retry-After", response(503, "", "Retry-After: 7\r\n"), want{netio.Transient, netio.ReasonHTTP5xx, 7 * time.Second, "HTTP 503 Service Unavailable"}},
		{"429 with Retry-After", response(429, "", "Retry-After: 7\r\n"), want{netio.Transient, netio.ReasonHTTP429, 7 * time.Second, "HTTP 429 Too Many Requests"}},
		{"429 with a date", response(429, "", "Date: Mon, 02 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon, 02 Nov 2026 10:01:00 GMT\r\n"),
			want{netio.Transient, netio.ReasonHTTP429, time.Minute, "HTTP 429 Too Many Requests"}},
		{"a long wait is capped", response(429, "", "Retry-After: 86400\r\n"), want{netio.Transient, netio.ReasonHTTP429, 5 * time.Minute, "HTTP 429 Too Many Requests"}},
		{"a malformed wait", response(429, "", "Retry-After: soon\r\n"), want{netio.Transient, netio.ReasonHTTP429, 0, "HTTP 429 Too Many Requests"}},
		{"listed 502", response(502, "", ""), want{netio.Transient, netio.ReasonHTTP5xx, 0, "HTTP 502 Bad Gateway"}},
		{"listed 408 with Retry-After", response(408, "", "Retry-After: 3\r\n"), want{netio.Transient, netio.ReasonHTTP4xx, 3 * time.Second, "HTTP 408 Request Timeout"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := replying(t, tt.text).fetcher(t, netio.Config{RetryStatus: []int{502, 408}, RetryAfterMax: 5 * time.Minute})
			_, err := f.Open(t.Context(), netio.Request{URL: objectURL, Offset: 4, Size: 10, Validator: known})
			got := asError(t, err)
			tt.want.detail += at80
			if (want{got.Kind, got.Reason, got.Wait, got.Detail}) != tt.want {
				t.Errorf("got %v, %q, wait %v, %q; want %+v", got.Kind, got.Reason, got.Wait, got.Detail, tt.want)
			}
		})
	}
}

// TestExpiredCloudFrontURL checks that a URL counts as expired by its own end
// and the server's clock: CloudFront refuses all signatures with the same text.
func TestExpiredCloudFrontURL(t *testing.T) {
	const denied = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>`
	const date = "Date: Mon, 02 Nov 2026 10:00:00 GMT\r\n" // 1793613600
	policy := func(json string) string {
		text := base64.StdEncoding.EncodeToString([]byte(json))
		return "?Policy=" + strings.NewReplacer("+", "-", "=", "_", "/", "~").Replace(text) + "&Signature=x&Key-Pair-Id=K1"
	}
	tests := []struct {
		name, query, header string
		status              int
		want                netio.Kind
	}{
		{"past its end", "?Expires=1793613600&Signature=x&Key-Pair-Id=K1", date, 403, netio.Expired},
		{"before its end", "?Expires=1793613601&Signature=x&Key-Pair-Id=K1", date, 403, netio.Permanent},
		{"no clock", "?Expires=1793613600&Signature=x&Key-Pair-Id=K1", "", 403, netio.Permanent},
		{"custom policy, past its end", policy(`{"Statement":[{"Resource":"http://d/*?>>>","Condition":{"DateLessThan":{"AWS:EpochTime":1793613600},"IpAddress":{"AWS:SourceIp":"0.0.0.0/0"}}}]}`), date, 403, netio.Expired},
		{"custom policy, before its end", policy(`{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1793613601}}}]}`), date, 403, netio.Permanent},
		{"custom policy without an end", policy(`{"Statement":[{"Condition":{}}]}`), date, 403, netio.Permanent},
		{"custom policy, empty", policy(`{}`), date, 403, netio.Permanent},
		{"damaged policy", "?Policy=x&Expires=1&Signature=x&Key-Pair-Id=K1", date, 403, netio.Permanent},
		{"not CloudFront's", "?Expires=1793613600&Signature=x", date, 403, netio.Permanent},
		{"not found", "?Expires=1793613600&Signature=x&Key-Pair-Id=K1", date, 404, netio.Permanent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := replying(t, response(tt.status, denied, tt.header)).fetcher(t, netio.Config{})
			_, err := f.Open(t.Context(), netio.Request{URL: objectURL + tt.query, Offset: 4, Size: 10})
			wantError(t, err, tt.want, "")
		})
	}
}
