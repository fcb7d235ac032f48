package main

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// link is what the origin and the network do during one boot.
type link int

const (
	fine    link = iota
	slow         // the package takes slowTime: checkpoints are made by time
	failing      // the first transfers break off: the job fails and is started again
)

func (l link) String() string { return [...]string{"fine", "slow", "failing"}[l] }

const (
	slowTime     = 2500 * time.Millisecond // for a whole package
	breaks       = 2                       // of a failing link
	troubledLink = 16                      // one cycle of so many has no fine link
	writesOfTry  = 20                      // device writes of a failure and the next try, about
)

// tryFlags make otad report a broken transfer as a failure, start the job again
// after a second, and checkpoint a slow transfer once a second.
var tryFlags = []struct{ name, value string }{
	{"retries", "0"},
	{"try-again", "1s"},
	{"checkpoint-interval", "1s"},
}

// linkOf draws the link of a cycle.
func linkOf(rng *rand.Rand) link {
	if rng.IntN(troubledLink) > 0 {
		return fine
	}
	return slow + link(rng.IntN(2))
}

// transferWriter writes the body of a transfer over a link.
type transferWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
	rate int64 // bytes a second; 0: no limit
	left int64 // bytes until the connection breaks; negative: never
	// broke, if not nil, is called before the connection breaks.
	broke func()
}

func (w *transferWriter) Write(p []byte) (int, error) {
	broken := w.left >= 0 && int64(len(p)) > w.left
	if broken {
		p = p[:w.left]
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	if w.left >= 0 {
		w.left -= int64(n)
	}
	if broken {
		if w.broke != nil {
			w.broke()
		}
		panic(http.ErrAbortHandler) // closes the connection
	}
	if w.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(w.rate))
	}
	return n, err
}
