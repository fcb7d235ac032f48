package fsm_test

import (
	"fmt"
	"testing"
	"time"

	"otad/netio/origintest"
)

// What a cut may cost is two intervals that are stored, and of what is in memory
// one second of the link or one interval, whichever is more, up to all blocks.
func TestBytesInFlightAreBoundedByTheLink(t *testing.T) {
	const mega = 1 << 20
	for _, tt := range []struct {
		rate     int64 // of the link, in bytes a second
		interval int64
		inMemory int64
	}{
		{125_000, mega, mega},
		{1_250_000, mega, mega}, // 10 Mbit/s
		{2_500_000, mega, 2 * mega},
		{12_500_000, mega, 3 * mega},
		{1_250_000, 64 << 10, 19 * 64 << 10},
		{30_000, 64 << 10, 64 << 10},
		{250_000, 2 * mega, 2 * mega},
	} {
		run(t, fmt.Sprintf("%d bytes a second, interval %d", tt.rate, tt.interval), func(t *testing.T) {
			r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 10*max(tt.interval, 512<<10)),
				Link: origintest.Link{BytesPerSecond: tt.rate}})
			r.cfg.Checkpoint = tt.interval
			r.boot()
			p := r.process
			var inMemory, again int64
			r.faults.set(func(op string, at int64) error {
				received := func() int64 { return int64(p.metric("ota_download_received_bytes_total")) }
				switch op {
				case "write":
					inMemory = max(inMemory, received()-at)
				case "sync":
					time.Sleep(10 * time.Second) // the link fills what it may
					again = max(again, received()-p.Snapshot().Durable)
				case "commit":
					time.Sleep(10 * time.Second)
				}
				return nil
			})
			r.start(r.job())
			r.fetched()
			most := min(tt.inMemory, 6*tt.interval) // each of the six blocks ends with an interval
			if inMemory > most || again > 2*tt.interval+most {
				t.Errorf("%d bytes were in memory, want at most %d; a cut costs %d, want at most %d", inMemory, most, again, 2*tt.interval+most)
			}
			if inMemory < most*3/4 {
				t.Errorf("only %d bytes were in memory: the disk is not slow enough to show anything", inMemory)
			}
		})
	}
}
