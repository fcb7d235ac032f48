package main

// requestLog keeps the account of the bytes that a power cut makes otad ask for a
// second time.
type requestLog struct {
	pkg      *pkg
	interval int64 // of the checkpoints in the boot before
	sent     int64 // end of what the origin has given away: some of it may never have reached otad
	written  int64 // end of what otad had written to the partial file, where that is known
}

// book takes in the transfers of one boot. A transfer that begins where the one
// before it has already been continues it; what lies between was asked for
// twice. Of the bytes that were written that may be one checkpoint interval, no
// more.
func (l *requestLog) add(log []*transfer, partials map[string]int64, interval int64, r *report) error {
	r.seesPartials = r.seesPartials || partials != nil
	for _, t := range log {
		if t.pkg != l.pkg {
			*l = requestLog{pkg: t.pkg}
		} else {
			r.resumed(l.sent-t.offset, max(0, l.written-t.offset))
			if again := l.written - t.offset; again > l.interval {
				return violated("%s goes on at %d, although %d bytes were written at intervals of %d", t.pkg.version, t.offset, l.written, l.interval)
			}
		}
		l.sent = max(l.sent, t.offset+t.sent.Load())
		l.interval = interval
		l.written = partials[t.pkg.name+".part"]
	}
	return nil
}
