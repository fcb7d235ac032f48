package journal

// maxWord is the longest word of a [Last] or a [Progress] in bytes.
const maxWord = 64

// Last is how a job ended. It outlives the job: its reset, and the start of
// another one.
type Last struct {
	Result  string `json:"result,omitempty"`  // as metrics.Result; empty: no job has ended yet
	Code    string `json:"code,omitempty"`    // of the error of a job that failed
	Seconds int64  `json:"seconds,omitempty"` // of work on the job, waits included, over all processes
	Size    int64  `json:"size,omitempty"`    // bytes of the package; 0: not known
}

// bounded returns l within the bounds. A word is one of a short list: one that
// is too long is nobody's.
func (l Last) bounded() Last {
	if len(l.Result) > maxWord || len(l.Code) > maxWord {
		return Last{}
	}
	l.Seconds, l.Size = max(0, l.Seconds), max(0, l.Size)
	return l
}

// Progress is when a job was started by a command, or bytes of it became
// durable, whichever was later. It has the board's clock, which may be wrong,
// and the time since the boot, which cannot.
type Progress struct {
	Unix   int64  `json:"unix,omitempty"`   // seconds since 1970
	Uptime int64  `json:"uptime,omitempty"` // seconds since the boot
	Boot   string `json:"boot,omitempty"`   // names the boot
}

// bounded returns p within the bounds. Without a boot its uptime says nothing.
func (p Progress) bounded() Progress {
	if len(p.Boot) > maxWord {
		return Progress{}
	}
	p.Uptime = max(0, p.Uptime)
	return p
}
