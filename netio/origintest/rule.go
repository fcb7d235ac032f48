package origintest

import "time"

// Rule changes the responses to some requests. Make one with [On], [From],
// [Span] or [Always], restrict it with Path, and chain the faults: every method
// changes the rule and returns it. All rules that match a request apply, in the
// order of the script; if two set the same thing, the later one wins. A rule
// must not be changed after it was given to an origin.
//
// Methods that end in At take an offset in the object, which is the same byte
// in a whole and in a partial response. The fault is before that byte, in each
// response whose body begins at or before it and reaches it. In a body that is
// not the object (the text of an error) the offset is that in the body. Methods
// that end in After take a number of bytes of the body of one response.
type Rule struct {
	first, last int // numbers of requests, both included; last 0: no end
	path        string
	steps       []func(*plan)
}

// On matches the n-th request that the origin receives, counted from 1 over all
// connections. Requests that are redirected count too.
func On(n int) *Rule { return Span(n, n) }

// From matches the n-th request and all later ones.
func From(n int) *Rule { return Span(n, 0) }

// Span matches the requests from first to last, both included.
func Span(first, last int) *Rule { return &Rule{first: first, last: last} }

// Always matches every request.
func Always() *Rule { return From(1) }

// Path restricts the rule to requests for one path, such as "/moved.bin", with
// any query.
func (r *Rule) Path(path string) *Rule {
	r.path = path
	return r
}

func (r *Rule) matches(n int, path string) bool {
	return n >= r.first && (r.last == 0 || n <= r.last) && (r.path == "" || r.path == path)
}

func (r *Rule) add(step func(*plan)) *Rule {
	r.steps = append(r.steps, step)
	return r
}

// plan is how one request is answered. With only the object set, the response
// is the correct one.
type plan struct {
	// The object.
	object         Object
	noETag         bool
	weakETag       bool
	noLastModified bool
	ignoreRange    bool
	matchFails     bool
	rangeFails     int // status; 0: no

	// The response.
	proto      string         // empty: HTTP/1.1
	status     int            // 0: the correct one
	shift      int64          // added to the start of a 206
	atMost     int64          // bytes in a 206; 0: no limit
	total      *int64         // in Content-Range; negative: "*"
	edits      []field        // an empty value removes the field
	retryIn    *time.Duration // Retry-After as a date
	skew       time.Duration  // by which the origin's clock is ahead
	text       []byte         // body of an error or a page
	page       bool
	endless    bool // the body of an error has no end
	gzip       bool
	framing    framing
	hugeHeader int // bytes

	// The delivery.
	headerDelay    time.Duration
	dripBytes      int
	dripEvery      time.Duration
	cuts           []cut
	surplus        int64
	closeAnnounced bool // close with Connection: close
	closeSilent    bool // close without it
	downFor        time.Duration
}

// plan applies the script to request n, which is for path.
func (o *Origin) plan(n int, path string) *plan {
	p := &plan{object: o.config.Object}
	for _, r := range o.config.Script {
		if !r.matches(n, path) {
			continue
		}
		for _, step := range r.steps {
			step(p)
		}
	}
	return p
}
