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
//	NotPackage     the same; if each retry is answered so with Insist, the origin
//	               can do no better: Open at offset 0, and discard the bytes
//	               once that answer replaces them
//	Offline        the same, without counting it as a failed attempt
//	NoClock        the same; a certificate cannot be checked before the clock is set
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
// # Answers
//
// What Open does with an answer. "Size" is Request.Size, or else Validator.Total.
// "Stored" are the bytes before Request.Offset. A page is text/html or XHTML,
// unless the name in Request.URL is .html too.
//
//	206 from the offset on                   taken
//	206 from an earlier byte on              taken, the part before the offset discarded
//	206 from elsewhere, or malformed         Permanent
//	206, another ETag (weak or unquoted      Changed
//	  counts as the same)
//	206, another date, no same strong ETag   Changed
//	206, another total than Validator's      Changed
//	206, another total than Size             WrongSize
//	206 with ETag or date, stored without    Changed
//	206 without both, stored with one        NotPackage, Insist
//	200 of the size, at offset 0             taken
//	200 without length, at offset 0          taken if the size is known
//	200 of the size, at an offset, the same  taken, the part before the offset discarded
//	  strong ETag
//	200 of the size, at an offset            taken from byte 0: RangeIgnored
//	200 of another length, or empty          NotPackage; Insist, where the size
//	                                         was only learned
//	200 with a Content-Range                 NotPackage
//	200 that is a page, without length or    NotPackage
//	  while the size is unknown
//	200 without length, at an offset         NotPackage, Insist
//	Content-Encoding identity, aws-chunked,  no difference
//	  binary, utf-8, empty
//	any other one, with Content-Length and   no difference: it only describes the bytes
//	  the size
//	any other one                            Permanent
//	412 to If-Match                          requested again without it
//	412                                      Permanent
//	403, 416, 501 to the Range of offset 0   requested again without it
//	416, the size or its total is the offset Complete
//	416, another total than Validator's      Changed
//	416                                      Unsatisfiable
//	403, 400: signature expired (S3, GCS,    Expired
//	  R2, Azure, CloudFront)
//	403, 429, 500, 502, 503, 504 with        Transient, with Wait up to RetryAfterMax
//	  Retry-After
//	a status of RetryStatus                  Transient, with Wait as far as given
//	301, 302, 303, 307, 308                  followed, 10 times, never https to http,
//	                                         without credentials to another origin,
//	                                         and never nearer to the board
//	any other status                         Permanent
//	fewer bytes than announced               Transient, short_body
//	more bytes than announced                TooLong
//	no end within 5 s of the last byte       taken as the end
//	no byte for ReadTimeout, or less than    Transient, stall
//	  MinRate averaged over it
//	no route, no name server                 Offline
//	no such host, refused, reset, timeout,   Transient
//	  TLS broken, no HTTP/1.1
//	an address that may not be dialled       Transient, dns; Permanent, where a
//	                                         redirect names it
//	no version or cipher suite of TLSConfig  Transient, tls
//	an RSA key below 2048 bits, of the       Transient, tls
//	  server or of who signed for it
//	a certificate that is not valid          Transient, tls; the next Open reads the CA
//	                                         certificates again
//	the same, clock before BuildTime         NoClock
//
// # Addresses
//
// What may be connected to is decided by the address that is dialled, when it is
// dialled, and not by what a name server says before or after:
//
//	localhost                         127.0.0.1, or else ::1; never looked up
//	localhost, 127.0.0.0/8, ::1       loopback alone; http needs no AllowHTTP
//	any other host                    never loopback nor 0.0.0.0 and ::
//	after a redirect                  no address nearer to the board than the
//	                                  farthest one so far: a server elsewhere leads
//	                                  neither to loopback nor to link-local
//	                                  (169.254.0.0/16, fe80::/10), one on the link
//	                                  not to loopback
//	private networks (RFC 1918, ULA)  like any other address elsewhere
//	through a proxy                   the proxy looks the host up; only addresses in
//	                                  URLs are checked
//
// The client certificate is shown to scheme, host and port of Request.URL alone:
// to no target of a redirect, and to no proxy.
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
//   - Requests have no Authorization unless Config.Header or the URL's userinfo
//     is one: S3 servers refuse it beside a signed URL. No redirect takes it to
//     another scheme, host or port.
//   - A 200 or a certificate may be a captive portal's. Only an answer that is
//     proven to be about another object costs the stored bytes.
//   - Each Open begins with the next address of the host.
//   - A signed URL is a key. No error of this package contains the query or the
//     userinfo of a URL.
package netio
