package app

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

// healthy is a machine without a fault.
type healthy struct{ deviceapi.Updater }

func (healthy) Health() error { return nil }

// hanging is a disk whose operations take as long as it holds.
type hanging struct {
	fsm.Partial
	fsm.Journal
	takes time.Duration
}

func (h hanging) Sync() error                        { time.Sleep(h.takes); return nil }
func (h hanging) ReadAt([]byte, int64) (int, error)  { time.Sleep(h.takes); return 0, io.EOF }
func (h hanging) WriteAt([]byte, int64) (int, error) { time.Sleep(h.takes); return 0, nil }
func (h hanging) Commit(journal.Checkpoint) error    { time.Sleep(h.takes); return nil }

// beating beats as the machine's goroutine does, until ctx ends.
func beating(ctx context.Context, p *pulse) {
	for ctx.Err() == nil {
		p.beat()
		time.Sleep(p.every())
	}
}

func TestPulseOfAMachine(t *testing.T) {
	ops := map[string]func(*pulse, time.Duration){
		"write":  func(p *pulse, d time.Duration) { watchedPartial{hanging{takes: d}, p}.WriteAt(nil, 0) },
		"read":   func(p *pulse, d time.Duration) { watchedPartial{hanging{takes: d}, p}.ReadAt(nil, 0) },
		"sync":   func(p *pulse, d time.Duration) { watchedPartial{hanging{takes: d}, p}.Sync() },
		"commit": func(p *pulse, d time.Duration) { watchedJournal{hanging{takes: d}, p}.Commit(journal.Checkpoint{}) },
	}
	for name, do := range ops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPulse()
				var fed atomic.Int64
				p.send = func() error { fed.Add(1); return nil }
				ctx, stop := context.WithCancel(t.Context())
				go beating(ctx, p)
				do(p, 4*time.Minute) // slow
				for range 10 {       // a long readback
					do(p, time.Minute)
				}
				time.Sleep(time.Hour) // a wait
				if err := (living{healthy{}, p}).Health(); err != nil || fed.Load() < 20 {
					t.Errorf("slow: %v, fed %d times", err, fed.Load())
				}
				go do(p, time.Hour) // dead
				time.Sleep(11 * time.Minute)
				before := fed.Load()
				time.Sleep(10 * time.Minute)
				if err := (living{healthy{}, p}).Health(); err == nil || !strings.Contains(err.Error(), "the disk hangs") || fed.Load() != before {
					t.Errorf("dead: %v, fed %d times more", err, fed.Load()-before)
				}
				time.Sleep(time.Hour)
				if err := p.err(); err != nil {
					t.Errorf("well again: %v", err)
				}
				stop()
				time.Sleep(p.every()) // the beating ends
			})
		})
	}
}

func TestPulseOfAMachineThatDoesNotTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse()
		time.Sleep(4 * time.Minute) // a slow start
		if err := p.err(); err != nil {
			t.Error(err)
		}
		p.beat()
		time.Sleep(pulseLimit + time.Second)
		if err := (living{healthy{}, p}).Health(); err == nil || !strings.Contains(err.Error(), "has not moved for 5m1s") {
			t.Error(err)
		}
	})
}
