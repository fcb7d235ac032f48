package origintest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"slices"
)

// delivery writes one answer.
type delivery struct {
	c     *conn
	p     *plan
	a     *answer
	entry *Request
	buf   []byte
	out   bytes.Buffer // what gzip made of the last piece
	zip   *gzip.Writer
}

// early carries out the cuts that come before the status line; false: the connection is over.
func (d *delivery) early() bool {
	for _, cut := range d.p.cuts {
		if cut.early && !d.strike(cut.kind) {
			return false
		}
	}
	return true
}

// run writes header and body; false: the answer was cut, or the client is gone.
func (d *delivery) run() bool {
	if _, err := d.c.write(d.a.head()); err != nil {
		return false
	}
	d.buf = make([]byte, d.pieceSize())
	if d.p.gzip {
		d.zip = gzip.NewWriter(&d.out)
	}
	pos := d.a.start
	for _, cut := range d.cuts() {
		if !d.bytes(pos, cut.pos) || !d.strike(cut.kind) {
			return false
		}
		pos = cut.pos
	}
	return d.bytes(pos, d.a.end) && d.finish()
}

// cuts returns those that lie in this body, by position.
func (d *delivery) cuts() []cut {
	var in []cut
	for _, c := range d.p.cuts {
		if c.counted {
			c.pos += d.a.start
		}
		if !c.early && d.a.start <= c.pos && c.pos <= d.a.end {
			in = append(in, c)
		}
	}
	slices.SortStableFunc(in, func(a, b cut) int { return cmp.Compare(a.pos, b.pos) })
	return in
}

// strike carries out a cut; true: the answer goes on.
func (d *delivery) strike(kind cutKind) bool {
	switch kind {
	case cutReset:
		d.c.abort()
	case cutFin:
		d.c.end()
	case cutStall:
		return d.c.stall(d.entry.N)
	}
	return false
}

// bytes writes the body's bytes from start to end.
func (d *delivery) bytes(start, end int64) bool {
	tag := ""
	if d.a.object {
		tag = d.p.object.etag()
	}
	for pos := start; pos < end; {
		piece := d.buf[:min(int64(len(d.buf)), end-pos)]
		if _, err := d.a.body.ReadAt(piece, pos); err != nil {
			panic(fmt.Sprintf("origintest: object at %d: %v", pos, err)) // span is within the object
		}
		d.c.o.record.writing(d.entry, tag, pos, int64(len(piece)))
		n, err := d.piece(piece)
		d.c.o.record.wrote(d.entry, tag, int64(len(piece)-n))
		if err != nil || !d.c.pause(d.p.dripEvery) {
			return false
		}
		pos += int64(n)
	}
	return true
}

// piece writes some bytes of the body in the answer's coding and framing, and returns how many of them went out.
func (d *delivery) piece(p []byte) (int, error) {
	if d.zip == nil && d.p.framing != chunked {
		return d.c.write(p)
	}
	coded := p
	if d.zip != nil {
		d.out.Reset()
		d.zip.Write(p) // to memory: cannot fail
		d.zip.Flush()
		coded = d.out.Bytes()
	}
	if err := d.frame(coded); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frame writes a chunk, or plain bytes where there are none.
func (d *delivery) frame(p []byte) error {
	if d.p.framing == chunked {
		p = fmt.Appendf(nil, "%x\r\n%s\r\n", len(p), p)
	}
	_, err := d.c.write(p)
	return err
}

// finish writes what follows the body's last byte.
func (d *delivery) finish() bool {
	if d.zip != nil {
		d.out.Reset()
		d.zip.Close()
		if d.frame(d.out.Bytes()) != nil {
			return false
		}
	}
	for left := d.p.surplus; left > 0; left -= int64(len(d.buf)) {
		n, _ := filler(0xEE).ReadAt(d.buf[:min(int64(len(d.buf)), left)], 0)
		if d.frame(d.buf[:n]) != nil {
			return false
		}
	}
	if d.p.framing == chunked {
		_, err := d.c.write([]byte("0\r\n\r\n"))
		return err == nil
	}
	return true
}

// pieceSize is how much is written at a time: little enough for a slow link to look like a flow.
func (d *delivery) pieceSize() int64 {
	size := int64(32 << 10)
	if rate := d.c.o.config.Link.BytesPerSecond; rate > 0 {
		size = min(size, max(1, rate/50))
	}
	if d.p.dripBytes > 0 {
		size = min(size, int64(d.p.dripBytes))
	}
	return size
}
