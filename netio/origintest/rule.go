package origintest

import "time"

// Rule says which requests are treated how. Make one with [On], [From], [Span] or [Always], narrow it with Path, and chain the faults; every
// method changes the rule and returns it. All rules that match a request apply, in the order of the script; where two set the same thing the
// later one wins. A rule must not be changed once an origin has it.
//
// Positions (…At) are those of the object, so that they mean the same in a whole and in a partial answer: a fault at p strikes before byte p is
// written, in each answer whose body begins at or before p and reaches it. In a body that is not the object's (an error's) they count from its
// first byte. Counts (…After) are bytes of the one answer's body.
type Rule struct {
	first, last int // request numbers, both included; last 0: no end
	path        string
	steps       []func(*plan)
}

// On matches the n-th request that the origin sees, counted from 1 over all connections; those answered with a redirect count too.
func On(n int) *Rule { return Span(n, n) }

// From matches the n-th request and all after it.
func From(n int) *Rule { return Span(n, 0) }

// Span matches the requests first to last, both included.
func Span(first, last int) *Rule { return &Rule{first: first, last: last} }

// Always matches every request.
func Always() *Rule { return From(1) }

// Path narrows the rule to one path, such as "/moved.bin"; the query does not matter.
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

// plan is what the rules make of one request. Its zero value but for the object is a correct answer.
type plan struct {
	// What is served.
	object         Object
	noETag         bool
	weakETag       bool
	noLastModified bool
	ignoreRange    bool

	// What the answer says.
	proto      string         // empty: HTTP/1.1
	status     int            // 0: the correct one
	shift      int64          // added to the start of a 206
	most       int64          // bytes of a 206; 0: all that were asked for
	total      *int64         // in Content-Range; negative: "*"
	edits      []field        // an empty value removes the field
	retryIn    *time.Duration // Retry-After as a date
	skew       time.Duration  // how far the origin's clock is ahead
	text       []byte         // an error's body
	endless    bool           // an error's body has no end
	gzip       bool
	framing    framing
	hugeHeader int // bytes

	// How it goes out.
	headerDelay time.Duration
	dripBytes   int
	dripEvery   time.Duration
	cuts        []cut
	surplus     int64
	closeSaid   bool // with Connection: close
	closeSilent bool
	downFor     time.Duration
}

// plan applies the script to request n for path.
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
