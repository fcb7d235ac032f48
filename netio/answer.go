package netio

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An answer is what a usable response promises.
type answer struct {
	start, end int64 // what the body covers of the object, end exclusive
	size       int64 // of the whole object
	validator  Validator
}

// judge decides what a response means to r: an answer that may be read, or a Failure. The rules are these:
//
//	206            the range asked for, of the same object
//	200            the whole object: at an offset the origin does not do ranges, and everything starts anew
//	412            If-Match did not hold: another object
//	416            nothing at the offset: all is held already, or the offset is wrong
//	anything else  a refusal, final but where the server or Config.RetryStatus invites a retry
func (f *Fetcher) judge(x *exchange, resp *http.Response, r Request) (answer, *Error) {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return judgePartial(resp, r)
	case http.StatusOK:
		return judgeWhole(resp, r)
	case http.StatusPreconditionFailed:
		return answer{}, changed(resp, "ETag")
	case http.StatusRequestedRangeNotSatisfiable:
		return answer{}, judgeBeyond(resp, r)
	}
	return answer{}, f.judgeRefusal(x, resp)
}

// judgePartial judges a 206. What differs from the validator is looked at first: of another object nothing else matters.
func judgePartial(resp *http.Response, r Request) (answer, *Error) {
	if failure := checkEncoding(resp); failure != nil {
		return answer{}, failure
	}
	got, ok := contentRangeOf(resp)
	if !ok || got.length() == 0 {
		return answer{}, refusef(resp.StatusCode, "HTTP 206 without a usable Content-Range")
	}
	now := learn(resp.Header, max(got.total, 0))
	if what := r.Validator.differs(now); what != "" {
		return answer{}, changed(resp, what)
	}
	size, failure := settleSize(resp, r, got.total)
	switch {
	case failure != nil:
		return answer{}, failure
	case got.end > size:
		return answer{}, wrongSize(resp, got.end, size)
	case got.start > r.Offset || got.end <= r.Offset:
		return answer{}, refusef(resp.StatusCode, "HTTP 206 is about %v, asked was byte %d", got, r.Offset)
	case resp.ContentLength >= 0 && resp.ContentLength != got.length():
		return answer{}, refusef(resp.StatusCode, "HTTP 206 has %d bytes, its Content-Range says %d", resp.ContentLength, got.length())
	}
	return answer{start: got.start, end: got.end, size: size, validator: now.fill(r.Validator)}, nil
}

// judgeWhole judges a 200. None of it is joined to older bytes, so its ETag and date are learned anew, whatever was known.
// Its size is compared, because Size may itself have been learned from the object that was there before.
func judgeWhole(resp *http.Response, r Request) (answer, *Error) {
	if failure := checkEncoding(resp); failure != nil {
		return answer{}, failure
	}
	now := learn(resp.Header, max(resp.ContentLength, 0))
	if r.Validator.Total != 0 && resp.ContentLength >= 0 && resp.ContentLength != r.Validator.Total {
		return answer{}, changed(resp, "size")
	}
	size, failure := settleSize(resp, r, resp.ContentLength)
	if failure != nil {
		return answer{}, failure
	}
	return answer{start: 0, end: size, size: size, validator: now}, nil
}

// judgeBeyond judges a 416: complete when the origin's object ends at the offset, by the size we know or by the one it
// tells (many servers tell none).
func judgeBeyond(resp *http.Response, r Request) *Error {
	told, ok := contentRangeOf(resp)
	if r.Offset > 0 && (r.Offset == r.size() || ok && told.total == r.Offset) {
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

// judgeRefusal judges every status that is no answer to a range request.
func (f *Fetcher) judgeRefusal(x *exchange, resp *http.Response) *Error {
	status := resp.StatusCode
	said := f.readError(x, resp)
	failure := refuse(status, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, said.code)), nil)
	invited := (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && resp.Header.Get("Retry-After") != ""
	switch {
	case said.expired && (status == http.StatusForbidden || status == http.StatusBadRequest):
		failure.Kind = Expired
		failure.Detail = fmt.Sprintf("the signed URL has expired (%s)", failure.Detail)
	case invited || slices.Contains(f.cfg.RetryStatus, status):
		failure.Kind = Transient
		failure.Reason = statusReason(status)
		failure.Wait = retryAfter(resp.Header, f.cfg.Now(), f.cfg.RetryAfterMax)
	}
	return failure
}

// readError reads what the body of an error answer says. The body belongs to the answer and has as long as its header
// had; what came until then is judged. Some servers announce more than they send.
func (f *Fetcher) readError(x *exchange, resp *http.Response) s3Error {
	if resp.StatusCode < 400 {
		return s3Error{}
	}
	late := time.AfterFunc(min(f.cfg.HeaderTimeout, f.cfg.ReadTimeout), x.end)
	defer late.Stop()
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

// settleSize returns the size of the object, given the total that the answer tells (-1: none).
func settleSize(resp *http.Response, r Request, total int64) (int64, *Error) {
	switch known := r.size(); {
	case total < 0 && known == 0:
		return 0, refuse(resp.StatusCode, "the origin does not tell the size of the package: give it (-size)", nil)
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
			return refuse(resp.StatusCode, "the answer has a Content-Encoding that was not asked for", nil)
		}
	}
	return nil
}

// contentRangeOf returns the Content-Range of resp, if it has exactly one that can be read.
func contentRangeOf(resp *http.Response) (contentRange, bool) {
	values := resp.Header.Values("Content-Range")
	if len(values) != 1 {
		return contentRange{}, false
	}
	return parseContentRange(values[0])
}

func changed(resp *http.Response, what string) *Error {
	return &Error{
		Kind: Changed, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin is another one now: its %s differs (HTTP %d)", what, resp.StatusCode),
	}
}

func wrongSize(resp *http.Response, got, want int64) *Error {
	return &Error{
		Kind: WrongSize, Status: resp.StatusCode,
		Detail: fmt.Sprintf("the object at the origin has %d bytes, expected %d", got, want),
	}
}
