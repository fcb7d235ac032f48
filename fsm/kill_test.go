package fsm_test

import (
	"context"
	"errors"
	"sync"
)

// killer ends a process at one change of its state directory, as kill -9 does:
// what was written stays, and what was not is never written. The process that
// still runs in this test program changes nothing any more.
type killer struct {
	at     int // number of the change that is not made, counted from 1; 0: none
	cancel context.CancelFunc
	dead   chan struct{} // closed at the kill

	mu    sync.Mutex
	steps int
}

// errKilled is the error of every change after the kill; the change that the
// kill falls into gets errKilledInIt.
var (
	errKilled     = errors.New("the process was killed")
	errKilledInIt = errors.New("the process was killed in the middle of this")
)

// count counts a change; after an error the change is not to be made.
func (k *killer) count() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.isKilled() {
		return errKilled
	}
	if k.steps++; k.steps == k.at {
		k.die()
		return errKilledInIt
	}
	return nil
}

// killNow kills the process between two changes.
func (k *killer) killNow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.isKilled() {
		k.die()
	}
}

func (k *killer) die() {
	close(k.dead)
	k.cancel()
}

// isKilled reports whether the process was killed.
func (k *killer) isKilled() bool {
	select {
	case <-k.dead:
		return true
	default:
		return false
	}
}

// changes is how often the process has changed its state directory.
func (k *killer) changes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.steps
}
