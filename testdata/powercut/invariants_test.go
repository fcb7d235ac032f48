package main

import (
	"errors"
	"testing"

	"otad/testdata/otadrun"
)

var (
	first  = &pkg{version: "1.0.1", name: "update-0.bin", md5: "aaa"}
	second = &pkg{version: "1.0.2", name: "update-0.bin", md5: "bbb"}
	third  = &pkg{version: "1.0.3", name: "update-0.bin", md5: "ccc"}
)

// response returns a response of otad.
func response(state string, p *pkg, durable int64) (a otadrun.Response) {
	a.Data.State, a.Data.Durable = state, durable
	if p != nil {
		a.Data.Version = p.version
	}
	return a
}

// The next functions return the invariants at the moment of a cut.
func afterReady(t *testing.T) *invariants {
	w := &invariants{}
	w.jobPosted(first)
	w.jobAccepted()
	if ready, err := w.observe(response("Ready", first, 0)); !ready || err != nil {
		t.Fatal(ready, err)
	}
	return w
}

func afterPost(t *testing.T) *invariants {
	w := afterReady(t)
	w.jobPosted(second)
	return w
}

func afterCheckpoint(t *testing.T) *invariants {
	w := afterPost(t)
	w.jobAccepted()
	if ready, err := w.observe(response("Downloading", second, 100)); ready || err != nil {
		t.Fatal(ready, err)
	}
	return w
}

func afterBreak(t *testing.T) *invariants {
	third.broken.Store(true)
	w := afterReady(t)
	w.jobPosted(third)
	w.jobAccepted()
	if ready, err := w.observe(response("Failed", third, 100)); ready || err != nil {
		t.Fatal(ready, err)
	}
	return w
}

func TestInvariantsOfTheFirstResponse(t *testing.T) {
	tests := []struct {
		name   string
		before func(*testing.T) *invariants
		answer otadrun.Response
		broken bool
	}{
		{"Ready holds", afterReady, response("Ready", first, 0), false},
		{"Ready is lost", afterReady, response("Idle", nil, 0), true},
		{"Ready becomes Failed", afterReady, response("Failed", first, 0), true},
		{"an unanswered post is lost", afterPost, response("Ready", first, 0), false},
		{"an unanswered post is kept", afterPost, response("Downloading", second, 0), false},
		{"an unanswered post loses both", afterPost, response("Idle", nil, 0), true},
		{"the checkpoint holds", afterCheckpoint, response("Downloading", second, 100), false},
		{"more than was reported", afterCheckpoint, response("Verifying", second, 200), false},
		{"done before a report", afterCheckpoint, response("Ready", second, 200), false},
		{"the checkpoint is lost", afterCheckpoint, response("Downloading", second, 99), true},
		{"the job is lost", afterCheckpoint, response("Ready", first, 0), true},
		{"the job fails", afterCheckpoint, response("Failed", second, 100), true},
		{"the job is tried again", afterBreak, response("Failed", third, 100), false},
		{"the job is tried again without its checkpoint", afterBreak, response("Failed", third, 99), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.before(t).checkFirstResponse(test.answer)
			if got := errors.As(err, new(violation)); got != test.broken {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestInvariantsOfTheFiles(t *testing.T) {
	tests := []struct {
		name   string
		before func(*testing.T) *invariants
		files  map[string]string
		broken bool
	}{
		{"whole", afterReady, map[string]string{"update-0.bin": "aaa", "journal.db": "x"}, false},
		{"gone", afterReady, map[string]string{"journal.db": "x"}, true},
		{"corrupt", afterReady, map[string]string{"update-0.bin": "x"}, true},
		{"still the old one", afterCheckpoint, map[string]string{"update-0.bin": "aaa", "update-0.bin.otad-part": "x"}, false},
		{"published, not reported", afterCheckpoint, map[string]string{"update-0.bin": "bbb"}, false},
		{"half the new one", afterCheckpoint, map[string]string{"update-0.bin": "x"}, true},
		{"nobody's", afterReady, map[string]string{"update-0.bin": "aaa", "update-1.bin": "x"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.before(t).checkFiles(test.files)
			if got := errors.As(err, new(violation)); got != test.broken {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRequestLogAllowsTwoIntervals(t *testing.T) {
	for again, broken := range map[int64]bool{0: false, 128: false, 129: true} {
		var l requestLog
		r := newReport()
		sent := &transfer{pkg: first}
		sent.sent.Store(1000)
		if err := l.add([]*transfer{sent}, map[string]int64{"update-0.bin.otad-part": 800}, 64, r); err != nil {
			t.Fatal(err)
		}
		if err := l.add(nil, nil, 16, r); err != nil { // a boot that was cut before the first request
			t.Fatal(err)
		}
		err := l.add([]*transfer{{pkg: first, offset: 800 - again}}, nil, 16, r)
		if (err != nil) != broken {
			t.Errorf("%d bytes again: %v", again, err)
		}
		if want := 200 + again; r.askedTwice.max != want || r.wroteTwice.max != again {
			t.Errorf("%d bytes again: counted %d and %d", again, r.askedTwice.max, r.wroteTwice.max)
		}
	}
}
