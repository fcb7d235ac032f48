package main

// requestLog counts the bytes that otad requests a second time because of a
// power cut.
type requestLog struct {
	pkg      *pkg
	interval int64 // of the checkpoints in the boot before
	sent     int64 // end of the bytes that the origin sent: the last of them may never have reached otad
	written  int64 // end of the bytes that otad had written to the partial file before the cut, where known
}

// add adds the transfers of one boot. A transfer that begins before the end of
// the one before it continues that one, and the bytes between were requested
// twice. At most two checkpoint intervals of them may have been written before.
func (l *requestLog) add(log []*transfer, partials map[string]int64, interval int64, r *report) error {
	r.seesPartials = r.seesPartials || partials != nil
	for _, t := range log {
		if t.pkg != l.pkg {
			*l = requestLog{pkg: t.pkg}
		} else {
			r.resumed(l.sent-t.offset, max(0, l.written-t.offset))
			if again := l.written - t.offset; again > 2*l.interval {
				return violated("%s goes on at %d, although %d bytes were written at intervals of %d", t.pkg.version, t.offset, l.written, l.interval)
			}
		}
		l.sent = max(l.sent, t.offset+t.sent.Load())
		l.interval = interval
		// Nobody sees the file between two transfers of one boot.
		l.written = 0
	}
	if len(log) > 0 {
		l.written = partials[l.pkg.name+".otad-part"]
	}
	return nil
}
