package installer

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"otad/netio"
)

// Bounds of what is kept of a run's output, in bytes.
const (
	maxOutput = 16 << 10 // of all lines in the log
	maxLine   = 512      // of one line that is read
	maxReason = 256      // of the last line, which is stored
)

// output takes the output of a command, line by line.
type output struct {
	say func(line string)

	mu     sync.Mutex
	line   []byte // that has not ended yet
	said   int    // bytes of the lines that went to say
	newest string // last line that is not blank
}

// Write implements [io.Writer]. It never fails: a command must not be ended by its
// log.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		o.line = append(o.line, line[:min(len(line), maxLine-len(o.line))]...)
		if ended {
			o.end()
		}
		rest = after
	}
	return len(p), nil
}

// end takes the line as it is now. The caller holds the lock.
func (o *output) end() {
	text := shown(string(o.line))
	o.line = o.line[:0]
	if text == "" {
		return
	}
	o.newest = text
	before := o.said
	switch o.said += len(text); {
	case o.said <= maxOutput:
		o.say(text)
	case before <= maxOutput:
		o.say(fmt.Sprintf("(more than %d bytes: the rest is left out)", maxOutput))
	}
}

// last returns the last line that is not blank, ended or not.
func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.end()
	}
	return o.newest[:min(len(o.newest), maxReason)]
}

// shown returns what of a line may be shown: a program that draws its progress
// with carriage returns shows the last of it, and URLs lose what may be secret.
func shown(line string) string {
	line = strings.TrimSpace(line)
	line = line[strings.LastIndexByte(line, '\r')+1:]
	if strings.Contains(line, "://") {
		line = netio.Scrub(line)
	}
	return netio.Printable(line)
}
