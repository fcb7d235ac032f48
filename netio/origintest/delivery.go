package origintest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"slices"
)

// delivery writes one response.
type delivery struct {
	c     *conn
	p     *plan
	r     *response
	entry *Request
	buf   []byte
	out   bytes.Buffer // the last piece, compressed
	zip   *gzip.Writer
}

// early performs the cuts that precede the status line. It returns false if the
// connection is over.
func (d *delivery) early() bool {
	for _, c := range d.p.cuts {
		if c.early && !d.perform(c.kind) {
			return false
		}
	}
	return true
}

// run writes the header and the body. It returns false if the response was cut
// or the client has closed the connection.
func (d *delivery) run() bool {
	if _, err := d.c.write(d.r.head()); err != nil {
		return false
	}
	d.buf = make([]byte, d.pieceSize())
	if d.p.gzip {
		d.zip = gzip.NewWriter(&d.out)
	}
	pos := d.r.start
	for _, c := range d.cuts() {
		if !d.bytes(pos, c.pos) || !d.perform(c.kind) {
			return false
		}
		pos = c.pos
	}
	return d.bytes(pos, d.r.end) && d.finish()
}

// cuts returns the cuts within this body, sorted by position.
func (d *delivery) cuts() []cut {
	var in []cut
	for _, c := range d.p.cuts {
		if c.counted {
			c.pos += d.r.start
		}
		if !c.early && d.r.start <= c.pos && c.pos <= d.r.end {
			in = append(in, c)
		}
	}
	slices.SortStableFunc(in, func(a, b cut) int { return cmp.Compare(a.pos, b.pos) })
	return in
}

// perform performs a cut. It returns true if the response goes on.
func (d *delivery) perform(kind cutKind) bool {
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

// bytes writes the bytes of the body from start to end, which are within it.
func (d *delivery) bytes(start, end int64) bool {
	tag := ""
	if d.r.isObject {
		tag = d.p.object.etag()
	}
	for pos := start; pos < end; {
		piece := d.buf[:min(int64(len(d.buf)), end-pos)]
		if _, err := d.r.body.ReadAt(piece, pos); err != nil {
			panic(fmt.Sprintf("origintest: object at %d: %v", pos, err))
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

// piece writes bytes of the body in the response's encoding and framing. It
// returns how many of them were sent.
func (d *delivery) piece(p []byte) (int, error) {
	if d.zip == nil && d.p.framing != chunked {
		return d.c.write(p)
	}
	encoded := p
	if d.zip != nil {
		d.out.Reset()
		d.zip.Write(p) // to memory: cannot fail
		d.zip.Flush()
		encoded = d.out.Bytes()
	}
	if err := d.frame(encoded); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frame writes p, as a chunk if the framing is chunked.
func (d *delivery) frame(p []byte) error {
	if d.p.framing == chunked {
		p = fmt.Appendf(nil, "%x\r\n%s\r\n", len(p), p)
	}
	_, err := d.c.write(p)
	return err
}

// finish writes what follows the last byte of the body.
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

// pieceSize returns how many bytes are written at a time: at most 20 ms of the
// link's rate.
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
