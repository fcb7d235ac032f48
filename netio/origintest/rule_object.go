package origintest

// Replace serves another object, in content and validators: a new upload under the same URL.
func (r *Rule) Replace(o Object) *Rule { return r.add(func(p *plan) { p.object = o }) }

// NoETag leaves the ETag out. If-Match then fails unless it is "*".
func (r *Rule) NoETag() *Rule { return r.add(func(p *plan) { p.noETag = true }) }

// WeakETag marks the ETag as weak (W/"..."). If-Match then fails, as it compares strongly (RFC 9110 §13.1.1).
func (r *Rule) WeakETag() *Rule { return r.add(func(p *plan) { p.weakETag = true }) }

// NoLastModified leaves Last-Modified out.
func (r *Rule) NoLastModified() *Rule { return r.add(func(p *plan) { p.noLastModified = true }) }

// IgnoreRange treats a request for a range as one for everything: 200, and no Accept-Ranges.
func (r *Rule) IgnoreRange() *Rule { return r.add(func(p *plan) { p.ignoreRange = true }) }

// ContentRange sets Content-Range to the text given, whatever the body is; empty leaves it out.
func (r *Rule) ContentRange(value string) *Rule { return r.Header("Content-Range", value) }

// StartEarlier makes a partial answer begin n bytes before the byte asked for (not before 0), in Content-Range and body alike.
func (r *Rule) StartEarlier(n int64) *Rule { return r.add(func(p *plan) { p.shift = -n }) }

// StartLater makes a partial answer begin n bytes after the byte asked for, in Content-Range and body alike.
func (r *Rule) StartLater(n int64) *Rule { return r.add(func(p *plan) { p.shift = n }) }

// Total claims another size of the whole object in Content-Range; negative stands for "*" (unknown).
func (r *Rule) Total(n int64) *Rule { return r.add(func(p *plan) { p.total = &n }) }

// AtMost makes a partial answer end after n bytes, and say so in Content-Range: fewer than asked for, which RFC 9110 §15.3.7 allows.
func (r *Rule) AtMost(n int64) *Rule { return r.add(func(p *plan) { p.most = n }) }
