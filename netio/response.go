package netio

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// part describes the part of the object that a usable response contains.
type part struct {
	start, end int64 // offsets in the object, end exclusive
	size       int64 // of the whole object
	validator  Validator
}

// checkResponse returns the part of the object that the response to r contains,
// or an Error if the response cannot be used:
//
//	206    usable if it contains the requested range of the same object
//	200    the whole object; at an offset > 0 the origin ignored the range, and
//	       the download restarts at 0
//	412    If-Match failed: the object was replaced
//	416    nothing at the offset: Complete, or the offset is wrong
//	other  Permanent, unless the response or Config.RetryStatus allows a retry
func (f *Fetcher) checkResponse(x *exchange, resp *http.Response, r Request) (part, *Error) {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return checkPartial(resp, r)
	case http.StatusOK:
		return checkWhole(resp, r)
	case http.StatusPreconditionFailed:
		return part{}, changed(resp, "ETag")
	case http.StatusRequestedRangeNotSatisfiable:
		return part{}, checkUnsatisfied(resp, r)
	}
	return part{}, f.checkRefusal(x, resp)
}

// checkPartial checks a 206. The validators are compared before the size and
// the range: those of another object mean nothing.
func checkPartial(resp *http.Response, r Request) (part, *Error) {
	if err := checkEncoding(resp); err != nil {
		return part{}, err
	}
	got, ok := contentRangeOf(resp)
	if !ok || got.length() == 0 {
		return part{}, permanentf(resp.StatusCode, "HTTP 206 without a usable Content-Range")
	}
	now := validatorOf(resp.Header, max(got.total, 0))
	if field := r.Validator.differs(now); field != "" {
		return part{}, changed(resp, field)
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
	}
	return part{start: got.start, end: got.end, size: size, validator: now.fill(r.Validator)}, nil
}

// checkWhole checks a 200. ETag and date are not compared: none of its bytes
// are appended to older ones, so its validators replace the stored ones. The
// total is compared, because Request.Size may have been taken from the object
// that was there before.
func checkWhole(resp *http.Response, r Request) (part, *Error) {
	if err := checkEncoding(resp); err != nil {
		return part{}, err
	}
	now := validatorOf(resp.Header, max(resp.ContentLength, 0))
	if r.Validator.Total != 0 && resp.ContentLength >= 0 && resp.ContentLength != r.Validator.Total {
		return part{}, changed(resp, "size")
	}
	size, err := objectSize(resp, r, resp.ContentLength)
	if err != nil {
		return part{}, err
	}
	return part{start: 0, end: size, size: size, validator: now}, nil
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
	return &Error{
		Kind: Unsatisfiable, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the origin has nothing at byte %d (HTTP 416)", r.Offset),
	}
}

// checkRefusal returns the error for a status that is no response to a range
// request.
func (f *Fetcher) checkRefusal(x *exchange, resp *http.Response) *Error {
	status := resp.StatusCode
	s3 := f.readError(x, resp)
	err := permanent(status, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, s3.code)), nil)
	mayRetry := (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) &&
		resp.Header.Get("Retry-After") != ""
	switch {
	case s3.expired && (status == http.StatusForbidden || status == http.StatusBadRequest):
		err.Kind = Expired
		err.Detail = fmt.Sprintf("the signed URL has expired (%s)", err.Detail)
	case mayRetry || slices.Contains(f.cfg.RetryStatus, status):
		err.Kind = Transient
		err.Reason = statusReason(status)
		err.Wait = retryAfter(resp.Header, f.cfg.Now(), f.cfg.RetryAfterMax)
	}
	return err
}

// readError reads the body of an error response, for at most HeaderTimeout and
// ReadTimeout. If the body is cut off, the bytes that have arrived are used:
// some servers announce more than they send.
func (f *Fetcher) readError(x *exchange, resp *http.Response) s3Error {
	if resp.StatusCode < 400 {
		return s3Error{}
	}
	timer := time.AfterFunc(min(f.cfg.HeaderTimeout, f.cfg.ReadTimeout), x.end)
	defer timer.Stop()
	return readS3Error(resp.Body)
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

func checkEncoding(resp *http.Response) *Error {
	for _, encoding := range resp.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return permanentf(resp.StatusCode,
				"the answer has a Content-Encoding that was not asked for")
		}
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
// Validator.
func changed(resp *http.Response, field string) *Error {
	return &Error{
		Kind: Changed, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin is another one now: its %s differs (HTTP %d)",
			field, resp.StatusCode),
	}
}

func wrongSize(resp *http.Response, got, want int64) *Error {
	return &Error{
		Kind: WrongSize, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin has %d bytes, expected %d", got, want),
	}
}
