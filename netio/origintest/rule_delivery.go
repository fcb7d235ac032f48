package origintest

import "time"

// The ways in which an answer can end or pause before its time.
type cutKind int

const (
	cutReset cutKind = iota // RST; in memory the client's read fails with ECONNRESET
	cutFin                  // FIN, as a process that died leaves it; no TLS close_notify
	cutStall                // nothing more until Release
)

// cut is one such end, at a position of the object or, when counted, after so many bytes of the answer's body.
type cut struct {
	kind    cutKind
	pos     int64
	counted bool
	early   bool // before the status line; pos has no meaning
}

func (r *Rule) cut(c cut) *Rule { return r.add(func(p *plan) { p.cuts = append(p.cuts, c) }) }

// ResetAt resets the connection (RST) before byte pos of the object. All bytes before it have reached the client's kernel by then, unless the
// client reads so slowly that its window is full.
func (r *Rule) ResetAt(pos int64) *Rule { return r.cut(cut{kind: cutReset, pos: pos}) }

// ResetAfter resets the connection after n bytes of the body.
func (r *Rule) ResetAfter(n int64) *Rule { return r.cut(cut{kind: cutReset, pos: n, counted: true}) }

// ResetEarly resets the connection instead of answering.
func (r *Rule) ResetEarly() *Rule { return r.cut(cut{kind: cutReset, early: true}) }

// FinAt closes the connection in the regular way before byte pos of the object.
func (r *Rule) FinAt(pos int64) *Rule { return r.cut(cut{kind: cutFin, pos: pos}) }

// FinAfter closes the connection after n bytes of the body.
func (r *Rule) FinAfter(n int64) *Rule { return r.cut(cut{kind: cutFin, pos: n, counted: true}) }

// FinEarly closes the connection instead of answering.
func (r *Rule) FinEarly() *Rule { return r.cut(cut{kind: cutFin, early: true}) }

// StallAt writes nothing from byte pos of the object on, until [Origin.Release] or the end of the connection.
func (r *Rule) StallAt(pos int64) *Rule { return r.cut(cut{kind: cutStall, pos: pos}) }

// StallAfter stalls after n bytes of the body.
func (r *Rule) StallAfter(n int64) *Rule { return r.cut(cut{kind: cutStall, pos: n, counted: true}) }

// StallEarly stalls before the status line.
func (r *Rule) StallEarly() *Rule { return r.cut(cut{kind: cutStall, early: true}) }

// Drip writes the body n bytes at a time, with a pause of every after each.
func (r *Rule) Drip(n int, every time.Duration) *Rule {
	return r.add(func(p *plan) { p.dripBytes, p.dripEvery = n, every })
}

// HeaderDelay waits before the status line.
func (r *Rule) HeaderDelay(d time.Duration) *Rule { return r.add(func(p *plan) { p.headerDelay = d }) }

// Surplus writes n bytes more than the body has. A client sees them where the answer does not bound its body by a Content-Length: compose with
// Chunked, UntilClose or ContentLength. They have the value 0xEE and are not counted as bytes of the object.
func (r *Rule) Surplus(n int64) *Rule { return r.add(func(p *plan) { p.surplus = n }) }

// Close ends the connection after the answer and says so (Connection: close).
func (r *Rule) Close() *Rule { return r.add(func(p *plan) { p.closeSaid = true }) }

// CloseSilently ends the connection after the answer without having said so.
func (r *Rule) CloseSilently() *Rule { return r.add(func(p *plan) { p.closeSilent = true }) }

// DownFor ends the connection after the answer, and refuses new ones from the beginning of the answer until d after its end.
func (r *Rule) DownFor(d time.Duration) *Rule { return r.add(func(p *plan) { p.downFor = d }) }
