// Package netio downloads one object over HTTP/1.1, from any offset, so that
// its bytes can be appended to bytes that an earlier download has stored.
//
// Its invariant: byte k read from a [Body] is byte Body.Offset+k of the object
// that Body.Validator identifies, and [io.EOF] is returned after the object's
// last byte and nowhere else. Where this cannot be guaranteed, the package
// returns an [*Error] instead.
//
// # Use
//
// [New] returns a [Fetcher], which is used for any number of downloads.
// [Fetcher.Open] sends one [Request] and returns a Body. Read it until io.EOF,
// then Close it. Store Body.Validator together with the bytes and put it into
// the next Request: it detects that the object at the origin was replaced.
//
// Error.Kind determines what to do after an error:
//
//	Transient      Open again at the offset, after Error.Wait or a back-off
//	Offline        the same, without counting it as a failed attempt
//	Expired        Open again at the offset with a newly signed URL
//	Changed        discard the bytes; Open at offset 0, without a Validator
//	Unsatisfiable  discard the bytes; Open at offset 0
//	TooLong        discard the bytes of this Body; give up
//	Complete       nothing is left to download; verify the bytes
//	WrongSize      give up
//	Permanent      give up
//
// The package never retries by itself: only the caller knows which bytes are
// durable, and so from which offset a retry may start.
//
// # Concurrency
//
// A Fetcher may be used from any goroutine. A Body belongs to one goroutine,
// except for Received and Discarded, which may be called from any. To interrupt
// a Read from another goroutine, cancel the context that was given to Open.
//
// # Decisions
//
//   - Every request has a Range, also at offset 0: the Content-Range of a 206
//     contains the total size (RFC 9110 §14.4) and proves that the origin
//     supports ranges.
//   - A resumed request has If-Match (RFC 9110 §13.1.1) and no If-Range,
//     because S3 servers ignore If-Range. In addition, each response is
//     compared with the stored Validator.
//   - Only HTTP/1.1 is used, with a new connection for each request.
//   - Redirects are followed here and not by [net/http.Client], which would
//     send the signed URL on in a Referer.
//   - Requests have no Authorization: S3 servers refuse it beside a signed URL.
//   - A signed URL is a key. No error of this package contains the query or the
//     userinfo of a URL.
package netio
