package app

import (
	"slices"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/journal"
	"otad/metrics"
)

func newCallbacks(cfg *config.Config, token string, s *services) (*deviceapi.Callbacks, error) {
	return deviceapi.NewCallbacks(deviceapi.CallbackConfig{
		URL: cfg.Serve.CallbackURL, TLSMin: cfg.Source.TLSMin, Token: token, Outbox: outbox{s.journal}, Log: s.log,
		OnResult: func(result string) { s.metrics.Callback(metrics.CallbackResult(result)) },
		OnQueue:  s.metrics.CallbackQueue,
	})
}

// outbox is the journal's list of transitions whose callbacks are not delivered
// yet.
type outbox struct{ journal *journal.Journal }

func (o outbox) Job() journal.EntryJob { return o.journal.Record().Job.Entry() }

func (o outbox) Pending() []deviceapi.Transition { return transitions(o.journal.Record()) }

// transitions returns the outbox of rec with the jobs of its entries. An entry
// that names a job names it for those before it, too.
func transitions(rec journal.Record) []deviceapi.Transition {
	out := make([]deviceapi.Transition, len(rec.Outbox))
	job := rec.Job.Entry()
	for i, e := range slices.Backward(rec.Outbox) {
		if e.Job != (journal.EntryJob{}) {
			job = e.Job
		}
		out[i] = deviceapi.Transition{Entry: e, Job: job}
	}
	return out
}

func (o outbox) Delivered(seq uint64) error {
	_, err := o.journal.Update(func(r *journal.Record) {
		r.Outbox = slices.DeleteFunc(r.Outbox, func(n journal.OutboxEntry) bool { return n.Seq <= seq })
	})
	return err
}
