package netio

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// part describes the part of the object that a usable response contains.
type part struct {
	start, end   int64 // offsets in the object, end exclusive
	size         int64 // of the whole object
	validator    Validator
	rangeIgnored bool // the bytes before start cannot be kept
}

// checkResponse returns the part of the object that the response to r contains,
// or an Error if the response cannot be used:
//
//	206    usable if it contains the requested range of the same object
//	200    usable if it has the size of the object
//	416    nothing at the offset: Complete, or the offset is wrong
//	other  Permanent, unless the response or Config.RetryStatus allows a retry
func (f *Fetcher) checkResponse(x *exchange, resp *http.Response, r Request) (part, *Error) {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return checkPartial(resp, r)
	case http.StatusOK:
		return checkWhole(resp, r)
	case http.StatusRequestedRangeNotSatisfiable:
		return part{}, checkUnsatisfied(resp, r)
	}
	return part{}, f.checkRefusal(x, resp)
}

// checkPartial checks a 206. The validators are compared before the size and
// the range: those of another object mean nothing.
func checkPartial(resp *http.Response, r Request) (part, *Error) {
	got, ok := contentRangeOf(resp)
	if err := checkEncoding(resp, r, got.total); err != nil {
		return part{}, err
	}
	if !ok || got.length() == 0 {
		return part{}, permanentf(resp.StatusCode, "HTTP 206 without a usable Content-Range")
	}
	now := validatorOf(resp.Header, max(got.total, 0))
	if field := r.Validator.differs(now); field != "" {
		return part{}, changed(resp, r, field, now)
	}
	size, err := objectSize(resp, r, got.total)
	switch {
	case err != nil:
		return part{}, err
	case got.end > size:
		return part{}, wrongSize(resp, got.end, size)
	case got.start > r.Offset || got.end <= r.Offset:
		return part{}, permanentf(resp.StatusCode,
			"HTTP 206 is about %v, asked was byte %d", got, r.Offset)
	case resp.ContentLength >= 0 && resp.ContentLength != got.length():
		return part{}, permanentf(resp.StatusCode,
			"HTTP 206 has %d bytes, its Content-Range says %d", resp.ContentLength, got.length())
	case r.Offset > 0 && r.Validator.Absent && now.named():
		return part{}, changed(resp, r, "", now)
	case r.Offset > 0 && r.Validator.named() && now.Absent:
		return part{}, notPackage(resp, true, "HTTP 206 without ETag and Last-Modified, which the stored bytes came with")
	}
	if r.Offset > 0 {
		now = now.fill(r.Validator)
	}
	return part{start: got.start, end: got.end, size: size, validator: now}, nil
}

// checkUnsatisfied returns the error for a 416: Complete if the object ends at
// the offset, by the known size or by that in the Content-Range, which many
// servers do not send.
func checkUnsatisfied(resp *http.Response, r Request) *Error {
	got, ok := contentRangeOf(resp)
	if r.Offset > 0 && (r.Offset == r.size() || ok && got.total == r.Offset) {
		return &Error{
			Kind: Complete, Status: resp.StatusCode,
			Detail: fmt.Sprintf("the object at the origin ends at byte %d (HTTP 416)", r.Offset),
		}
	}
	if then := r.Validator.Total; ok && then > 0 && got.total != then {
		return changed(resp, r, "size", Validator{Total: got.total})
	}
	return &Error{
		Kind: Unsatisfiable, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the origin has nothing at byte %d (HTTP 416)", r.Offset),
	}
}

// checkRefusal returns the error for a status that is no response to a range
// request.
func (f *Fetcher) checkRefusal(x *exchange, resp *http.Response) *Error {
	status := resp.StatusCode
	s3, text := f.readError(x, resp)
	words := cmp.Or(s3.code, http.StatusText(status))
	err := permanent(status, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, words)), nil)
	if resp.Request.URL.Scheme == "http" && status == http.StatusBadRequest && plainToTLS(text) {
		err.Detail += ": " + portIsTLS
	}
	mayRetry := resp.Header.Get("Retry-After") != "" && slices.Contains(invitations, status)
	switch {
	case (s3.expired || cloudFrontExpired(resp)) && (status == http.StatusForbidden || status == http.StatusBadRequest):
		err.Kind = Expired
		err.Detail = fmt.Sprintf("the signed URL has expired (%s)", err.Detail)
	case mayRetry || slices.Contains(f.cfg.RetryStatus, status):
		err.Kind = Transient
		err.Reason = statusReason(status)
		err.Wait = retryAfter(resp.Header, f.cfg.Now(), f.cfg.RetryAfterMax)
	}
	return err
}

// invitations are the statuses that a Retry-After makes Transient.
var invitations = []int{
	http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// readError reads the body of an error response, for at most HeaderTimeout and
// ReadTimeout. If the body is cut off, the bytes that have arrived are used:
// some servers announce more than they send. text is the part that was read.
func (f *Fetcher) readError(x *exchange, resp *http.Response) (e s3Error, text string) {
	if resp.StatusCode < 400 {
		return s3Error{}, ""
	}
	timer := time.AfterFunc(min(f.cfg.HeaderTimeout, f.cfg.ReadTimeout), x.end)
	defer timer.Stop()
	var read strings.Builder
	e = readS3Error(io.TeeReader(resp.Body, &read))
	return e, read.String()
}

// plainToTLS reports whether text is that of an https server, here Apache, Go or
// nginx, that has received a request in plain http.
func plainToTLS(text string) bool {
	return strings.Contains(text, "speaking plain HTTP to an SSL-enabled server port") ||
		strings.Contains(text, "HTTP request to an HTTPS server") ||
		strings.Contains(text, "HTTP request was sent to HTTPS port")
}

func statusReason(status int) Reason {
	switch {
	case status == http.StatusTooManyRequests:
		return ReasonHTTP429
	case status >= 500:
		return ReasonHTTP5xx
	}
	return ReasonHTTP4xx
}

// objectSize returns the size of the object. total is the size according to the
// response, -1 if it has none.
func objectSize(resp *http.Response, r Request, total int64) (int64, *Error) {
	switch known := r.size(); {
	case total < 0 && known == 0:
		return 0, permanentf(resp.StatusCode,
			"the origin does not tell the size of the package: give it (-size)")
	case total < 0:
		return known, nil
	case total == 0 || r.Size != 0 && total != r.Size:
		return 0, wrongSize(resp, total, known)
	}
	return total, nil
}

// checkEncoding refuses a Content-Encoding that may have changed the bytes. One
// that only describes them, such as that of a stored .gz, comes with the size of
// the object, here total, and with a Content-Length: a server that compresses on
// the way has no length before the end.
func checkEncoding(resp *http.Response, r Request, total int64) *Error {
	if resp.ContentLength >= 0 && total > 0 && total == r.size() {
		return nil
	}
	for coding := range strings.SplitSeq(strings.Join(resp.Header.Values("Content-Encoding"), ","), ",") {
		switch coding = strings.ToLower(strings.Trim(coding, " \t")); coding {
		case "", "identity", "aws-chunked", "binary", "utf-8":
			continue
		case "gzip", "x-gzip", "deflate", "br", "zstd", "compress":
		default: // may be anything, also a secret
			coding = "unknown"
		}
		return permanentf(resp.StatusCode,
			"the answer has a Content-Encoding that was not asked for: %s", coding)
	}
	return nil
}

// contentRangeOf returns the Content-Range of resp. It reports false if there
// is none, more than one, or one that is malformed.
func contentRangeOf(resp *http.Response) (contentRange, bool) {
	values := resp.Header.Values("Content-Range")
	if len(values) != 1 {
		return contentRange{}, false
	}
	return parseContentRange(values[0])
}

// changed returns the error for an object whose field differs from the stored
// Validator. No field: there was none before.
func changed(resp *http.Response, r Request, field string, now Validator) *Error {
	what := "it has an ETag or a Last-Modified, the stored bytes came without"
	if field != "" {
		what = "its " + field + " differs: " + r.Validator.show(field, now)
	}
	return &Error{
		Kind: Changed, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin is another one now: %s (HTTP %d)", what, resp.StatusCode),
	}
}

func wrongSize(resp *http.Response, got, want int64) *Error {
	return &Error{
		Kind: WrongSize, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin has %d bytes, expected %d", got, want),
	}
}
