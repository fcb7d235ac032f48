package fsm_test

import (
	"math"
	"testing"
	"time"

	"otad/fsm"
	"otad/netio"
)

// TestRetryPolicyDecides gives a policy of three retries, one interval of 100
// bytes and 60 s of waiting for a network a series of failures.
func TestRetryPolicyDecides(t *testing.T) {
	const mid, low, high = 0.5, 0.0, 0.999999
	transient := &netio.Error{Kind: netio.Transient, Reason: netio.ReasonReset, Detail: "reset"}
	invited := &netio.Error{Kind: netio.Transient, Reason: netio.ReasonHTTP5xx, Detail: "HTTP 503", Wait: 42 * time.Second}
	offline := &netio.Error{Kind: netio.Offline, Reason: netio.ReasonOffline, Detail: "no route"}
	of := func(k netio.Kind) *netio.Error { return &netio.Error{Kind: k, Detail: "detail"} }
	type failure struct {
		f                      *netio.Error
		offset                 int64
		at                     time.Duration // since the first failure
		jitter                 float64
		changed, unsatisfiable bool // the journal's counts are above 0
		online                 bool // a network was seen before it
		want                   string
	}
	for _, tt := range []struct {
		name     string
		failures []failure
	}{
		{"the waits double and end after the retries", []failure{
			{f: transient, jitter: mid, want: "retry in 1s"},
			{f: transient, jitter: mid, want: "retry in 2s"},
			{f: transient, jitter: mid, want: "retry in 4s"},
			{f: transient, jitter: mid, want: "DOWNLOAD_FAILED: reset (gave up after 3 retries without progress)"},
		}},
		{"jitter moves a wait by a fifth", []failure{
			{f: transient, jitter: low, want: "retry in 800ms"},
			{f: transient, jitter: high, want: "retry in 2.3999992s"},
		}},
		{"a server's own wait is taken as it is", []failure{
			{f: invited, jitter: low, want: "retry in 42s"},
			{f: transient, jitter: mid, want: "retry in 2s"},
		}},
		{"a whole interval counts anew", []failure{
			{f: transient, jitter: mid, want: "retry in 1s"},
			{f: transient, jitter: mid, offset: 99, want: "retry in 2s"},
			{f: transient, jitter: mid, offset: 100, want: "retry in 1s"},
			{f: transient, jitter: mid, offset: 199, want: "retry in 2s"},
			{f: transient, jitter: mid, offset: 200, want: "retry in 1s"},
		}},
		{"bytes below the highest offset are no progress", []failure{
			{f: transient, jitter: mid, offset: 500, want: "retry in 1s"},
			{f: transient, jitter: mid, offset: 0, want: "retry in 2s"},
			{f: transient, jitter: mid, offset: 500, want: "retry in 4s"},
		}},
		{"no network costs no retry until it has been away too long", []failure{
			{f: offline, jitter: low, want: "wait 2s for the network"},
			{f: offline, jitter: mid, at: 59 * time.Second, want: "wait 3.5s for the network"},
			{f: offline, jitter: mid, at: 60 * time.Second, want: "retry in 1s"},
			{f: offline, jitter: mid, at: 61 * time.Second, want: "retry in 2s"},
		}},
		{"a network that was there ends the wait for one", []failure{
			{f: offline, jitter: low, want: "wait 2s for the network"},
			{f: offline, jitter: low, at: 70 * time.Second, online: true, want: "wait 2s for the network"},
		}},
		{"a changed object is started over once", []failure{
			{f: of(netio.Changed), offset: 300, want: "restart: changed"},
			{f: of(netio.Changed), offset: 300, changed: true, want: "DOWNLOAD_FAILED: OBJECT_CHANGED detail"},
		}},
		{"an offset that is refused is started over once", []failure{
			{f: of(netio.Unsatisfiable), offset: 300, changed: true, want: "restart: unsatisfiable"},
			{f: of(netio.Unsatisfiable), offset: 300, unsatisfiable: true, want: "DOWNLOAD_FAILED: RANGE_NOT_SATISFIABLE detail"},
		}},
		{"after a restart the old offsets are no measure", []failure{
			{f: transient, jitter: mid, offset: 1000, want: "retry in 1s"},
			{f: of(netio.Changed), offset: 1000, want: "restart: changed"},
			{f: transient, jitter: mid, offset: 100, changed: true, want: "retry in 1s"},
		}},
		{"wrong size", []failure{{f: of(netio.WrongSize), want: "PACKAGE_SIZE_MISMATCH: detail"}}},
		{"complete", []failure{{f: of(netio.Complete), want: "PACKAGE_SIZE_MISMATCH: detail"}}},
		{"expired", []failure{{f: of(netio.Expired), want: "DOWNLOAD_FAILED: URL_EXPIRED detail"}}},
		{"permanent", []failure{{f: of(netio.Permanent), want: "DOWNLOAD_FAILED: detail"}}},
		{"an answer that is too long", []failure{{f: of(netio.TooLong), want: "DOWNLOAD_FAILED: detail"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Unix(1, 0)
			p := fsm.NewRetryPolicy(3, 100, 0, time.Minute)
			for i, f := range tt.failures {
				now := begin.Add(f.at)
				if f.online {
					p.Online(now)
				}
				if got := p.Next(f.f, f.offset, f.changed, f.unsatisfiable, now, f.jitter); got != f.want {
					t.Errorf("failure %d: %q, want %q", i+1, got, f.want)
				}
			}
		})
	}
}

func TestNoNetworkIsAnOrdinaryFailureWithoutNetworkWait(t *testing.T) {
	p := fsm.NewRetryPolicy(1, 100, 0, 0)
	offline := &netio.Error{Kind: netio.Offline, Detail: "no route"}
	for i, want := range []string{"retry in 1s", "DOWNLOAD_FAILED: no route (gave up after 1 retries without progress)"} {
		if got := p.Next(offline, 0, false, false, time.Unix(1, 0), 0.5); got != want {
			t.Errorf("failure %d: %q, want %q", i+1, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{0, 0.5, time.Second}, {1, 0.5, 2 * time.Second}, {2, 0.5, 4 * time.Second}, {5, 0.5, 32 * time.Second},
		{6, 0.5, time.Minute}, {1000, 0.5, time.Minute}, {math.MaxInt, 0.5, time.Minute}, {-1, 0.5, time.Second},
		{0, 0, 800 * time.Millisecond}, {2, 0, 3200 * time.Millisecond}, {6, 0.999, 71976 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := fsm.Backoff(tt.attempt, tt.jitter); got != tt.want {
			t.Errorf("Backoff(%d, %v) = %v, want %v", tt.attempt, tt.jitter, got, tt.want)
		}
	}
	if got := fsm.Backoff(0, math.Nextafter(1, 0)); got < 1199*time.Millisecond || got > 1200*time.Millisecond {
		t.Errorf("Backoff(0, nearly 1) = %v, want 1.2 s", got)
	}
}
