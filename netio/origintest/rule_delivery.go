package origintest

import "time"

// cutKind is a way in which a response ends or pauses early.
type cutKind int

const (
	cutReset cutKind = iota // RST; in memory, Read returns ECONNRESET
	cutFin                  // FIN, as from a killed process: no close_notify
	cutStall                // nothing more until Release
)

// cut is an early end or a pause of a response.
type cut struct {
	kind    cutKind
	pos     int64 // offset in the object, or a number of bytes if counted
	counted bool
	early   bool // before the status line; pos is not used
}

func (r *Rule) cut(c cut) *Rule { return r.add(func(p *plan) { p.cuts = append(p.cuts, c) }) }

// ResetAt resets the connection (RST) before byte pos of the object. By then
// all earlier bytes are in the client's kernel, unless the client reads so
// slowly that its receive window is full.
func (r *Rule) ResetAt(pos int64) *Rule { return r.cut(cut{kind: cutReset, pos: pos}) }

// ResetAfter resets the connection after n bytes of the body.
func (r *Rule) ResetAfter(n int64) *Rule { return r.cut(cut{kind: cutReset, pos: n, counted: true}) }

// ResetEarly resets the connection before the status line.
func (r *Rule) ResetEarly() *Rule { return r.cut(cut{kind: cutReset, early: true}) }

// FinAt closes the connection (FIN) before byte pos of the object.
func (r *Rule) FinAt(pos int64) *Rule { return r.cut(cut{kind: cutFin, pos: pos}) }

// FinAfter closes the connection after n bytes of the body.
func (r *Rule) FinAfter(n int64) *Rule { return r.cut(cut{kind: cutFin, pos: n, counted: true}) }

// FinEarly closes the connection before the status line.
func (r *Rule) FinEarly() *Rule { return r.cut(cut{kind: cutFin, early: true}) }

// StallAt stops writing before byte pos of the object, until [Origin.Release]
// or the end of the connection.
func (r *Rule) StallAt(pos int64) *Rule { return r.cut(cut{kind: cutStall, pos: pos}) }

// StallAfter stops writing after n bytes of the body, like StallAt.
func (r *Rule) StallAfter(n int64) *Rule { return r.cut(cut{kind: cutStall, pos: n, counted: true}) }

// StallEarly stops before the status line, like StallAt.
func (r *Rule) StallEarly() *Rule { return r.cut(cut{kind: cutStall, early: true}) }

// Drip writes the body n bytes at a time, with a pause after each write.
func (r *Rule) Drip(n int, pause time.Duration) *Rule {
	return r.add(func(p *plan) { p.dripBytes, p.dripEvery = n, pause })
}

// HeaderDelay waits before the status line.
func (r *Rule) HeaderDelay(d time.Duration) *Rule { return r.add(func(p *plan) { p.headerDelay = d }) }

// Surplus writes n more bytes, of value 0xEE, after the body. They do not count
// as bytes of the object. A client does not see them after the end given by a
// Content-Length: combine with Chunked, UntilClose or ContentLength.
func (r *Rule) Surplus(n int64) *Rule { return r.add(func(p *plan) { p.surplus = n }) }

// Close closes the connection after the response, with Connection: close.
func (r *Rule) Close() *Rule { return r.add(func(p *plan) { p.closeAnnounced = true }) }

// CloseSilently closes the connection after the response, without announcing
// it.
func (r *Rule) CloseSilently() *Rule { return r.add(func(p *plan) { p.closeSilent = true }) }

// DownFor closes the connection after the response. New connections are refused
// from the start of the response until d after its end.
func (r *Rule) DownFor(d time.Duration) *Rule { return r.add(func(p *plan) { p.downFor = d }) }
