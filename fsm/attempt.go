package fsm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// silentAfter is how long an answer is waited for until the start is out of the
// count of restarts: an origin that is silent kills no process.
const silentAfter = 2 * time.Second

// attempt makes one request, from where the file ends or from 0, and stores the
// answer.
func (t *transfer) attempt(ctx context.Context) error {
	rec := t.journal.record()
	offset := t.at.saved.Offset
	if size := jobWithSize(rec).Size; size > 0 && offset == size {
		return nil // cut between the last checkpoint and Verifying
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go t.watchHold(ctx, cancel)
	t.url = rec.Job.URL
	anew := t.anew && offset > 0
	t.anew = false
	if anew {
		offset = 0
		rec.Validator = journal.Validator{Total: rec.Validator.Total} // which an answer without length needs
	} else if offset == 0 {
		rec.Validator = journal.Validator{} // no byte is held that could be mixed with another object's
	}
	silent := time.AfterFunc(silentAfter, t.restarts.clear)
	body, err := t.source.Open(ctx, netio.Request{URL: rec.Job.URL, Offset: offset, Size: rec.Job.Size,
		Validator: netio.Validator(rec.Validator)})
	silent.Stop()
	if err != nil {
		t.report.request(statusOf(err))
		return t.heldOr(ctx, err)
	}
	defer body.Close()
	info := body.Info()
	t.report.request(info.Status)
	t.networkBack()
	if most := t.cfg.MaxSize; most > 0 && rec.Job.Size == 0 && info.Size > most {
		return fail(Unusable, fmt.Sprintf("the origin's package has %d bytes and -max-size allows %d: give the job its size, or allow more", info.Size, most), nil).err
	}
	if info.RangeIgnored || anew {
		if t.urlReplaced() {
			return errURLReplaced
		}
		// The held bytes are given up only when the first interval of those that
		// take their place is durable.
		err = t.storeBody(ctx, cancel, body, info.Size, func(first []*block) error {
			if !sameObject(t.url, t.journal.record().Job.URL) {
				return errURLReplaced // its answer may cost nothing
			}
			return t.takeOver(ctx, first, rec, info)
		})
		return t.heldOr(ctx, err)
	}
	if offset > 0 {
		t.report.resume(t.cause)
		t.log.Info("resuming", "offset", offset, "size", info.Size, "cause", t.cause)
		if info.Status == http.StatusOK {
			t.noCrash() // what is held comes first and is dropped; that may take long
		}
	}
	t.cause = metrics.CauseNetwork
	if err := t.recordValidator(rec, info); err != nil {
		return err
	}
	return t.heldOr(ctx, t.storeBody(ctx, cancel, body, info.Size, nil))
}

// storeBody stores the body. When an answer goes on after its end, none of it
// can be trusted: the file goes back to where it was before.
//
// takeOver is nil, or claims the body, which begins at 0, in place of the held
// bytes.
func (t *transfer) storeBody(ctx context.Context, cancel context.CancelCauseFunc, body Body, size int64, takeOver func(first []*block) error) error {
	begin, took := t.at.saved, false
	if takeOver != nil {
		give := takeOver
		takeOver = func(first []*block) error {
			if err := give(first); err != nil {
				return err
			}
			begin, took = journal.Checkpoint{}, true
			return nil
		}
	}
	err := t.pump(ctx, func() { cancel(nil) }, body, size, takeOver)
	t.report.overlap(body.Discarded())
	var f *netio.Error
	if errors.As(err, &f) && f.Kind == netio.TooLong && (takeOver == nil || took) {
		if rewindErr := t.rewind(begin); rewindErr != nil {
			return rewindErr
		}
	}
	return err
}

// received counts bytes from the network.
func (t *transfer) received(n int64) {
	t.report.received(n)
	if n > 0 {
		t.noCrash()
	}
}

// noCrash takes this start out of the count of restarts: it received bytes, or
// its first attempt failed as attempts do. A board whose power goes after some
// seconds each time is in no crash loop.
func (t *transfer) noCrash() {
	if !t.survived {
		t.survived = true
		t.restarts.clear()
	}
}

// mixtureFailed reports whether the whole package does not match its digest
// because bytes of several answers were joined that no validator holds together.
// One download of a single answer is then worth a try. A mismatch of bytes that
// belong together is final.
func (t *transfer) mixtureFailed() bool {
	rec := t.journal.record()
	return rec.Mixed && rec.Mismatched == 0 && isMismatch(compare(rec.Job, t.at.digest))
}

func statusOf(err error) int {
	var f *netio.Error
	if errors.As(err, &f) {
		return f.Status
	}
	return 0
}

// recordValidator writes into the journal what the first answer says of the
// object, as far as it holds for the journal's URL: that may be a newer one than
// the request's.
func (t *transfer) recordValidator(asked journal.Record, info netio.BodyInfo) error {
	joined := t.at.saved.Offset > 0
	change := answerChange(asked, info, joined && (asked.Mixed || asked.Validator.ETag == "" && asked.Validator.LastModified == ""))
	now := t.journal.record()
	changed := now
	if change(&changed); changed.Validator != now.Validator || changed.Mixed != now.Mixed {
		if _, err := t.journal.update(change); err != nil {
			return err
		}
	}
	if jobWithSize(asked).Size == info.Size {
		return nil
	}
	return t.sized(asked, info)
}

// answerChange writes what an answer says of the object.
func answerChange(asked journal.Record, info netio.BodyInfo, mixed bool) recordChange {
	asked.Validator = journal.Validator(info.Validator)
	asked.Validator.Total = info.Size // an answer need not repeat a size that is known
	return func(r *journal.Record) { r.Validator, r.Mixed = keptValidator(asked, r.Job.URL), mixed }
}

// sized reserves the room of a package whose size an answer has reported.
func (t *transfer) sized(asked journal.Record, info netio.BodyInfo) error {
	if jobWithSize(asked).Size != info.Size {
		t.report.size(info.Size)
	}
	return t.reserve(info.Size)
}
