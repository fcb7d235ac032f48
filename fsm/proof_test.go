package fsm_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// evidence is what the origin has shown of late, as a proof for giving up bytes.
type evidence struct {
	asked netio.Request
	err   *netio.Error    // of the last request or its body; nil: none so far
	info  *netio.BodyInfo // of the last answer; nil: it cannot be used
	read  int64           // bytes of its body
}

// checkedBody is the real body. It notes what comes.
type checkedBody struct {
	fsm.Body
	v *invariants
}

func (b checkedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.v.mu.Lock()
	defer b.v.mu.Unlock()
	b.v.evidence.read += int64(n)
	errors.As(err, &b.v.evidence.err)
	return n, err
}

// openChecked opens r at s, and notes what comes.
func (v *invariants) openChecked(ctx context.Context, s fsm.Source, r netio.Request) (body, error) {
	b, err := s.Open(ctx, r)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.evidence = evidence{asked: r}
	if err != nil {
		errors.As(err, &v.evidence.err)
		return nil, err
	}
	info := b.Info()
	v.evidence.info = &info
	return checkedBody{b, v}, nil
}

// isProved checks, before the journal gives up bytes of a job that goes on, that
// there is a proof: the object changed, the offset is refused, the digest does
// not match, the answer that is to replace them has its first interval there, or
// the disk has lost them, or has not read them in three tries. held is what the
// journal claims, left what it will.
func (v *invariants) isProved(from, to journal.Record, held, left int64) {
	if left >= held || stateIn(from) == fsm.Ready || to.Job.Name == "" || !from.Job.Same(to.Job) {
		return // nothing is given up, or a person has decided it
	}
	if err := v.proof(from, to, held); err != nil {
		v.process.rig.t.Errorf("%d of %d held bytes are given up: %v", held-left, held, err)
	}
}

func (v *invariants) proof(from, to journal.Record, held int64) error {
	cps := v.process.journal.Checkpoints()
	v.mu.Lock()
	defer v.mu.Unlock()
	is := func(kind netio.Kind) bool { return v.evidence.err != nil && v.evidence.err.Kind == kind }
	file := v.files[from.Job.Name]
	if file == nil {
		file = &content{}
	}
	unread := from.Tries >= 3 && v.process.rig.faults.at("read", cps[0].Offset-1) != nil
	lost := int64(len(file.bytes)) < held || file.tailCRC(cps[0]) != cps[0].TailCRC || unread
	switch {
	case strings.HasSuffix(to.Code, "_MISMATCH"), lost, is(netio.TooLong):
		return nil
	case to.Changed > from.Changed:
		return proved(is(netio.Changed), "the object has not changed")
	case to.Unsatisfiable > from.Unsatisfiable:
		return proved(is(netio.Unsatisfiable), "no offset was refused")
	case to.Mismatched > from.Mismatched:
		sum := fmt.Sprintf("%x", md5.Sum(file.bytes[:held]))
		return proved(from.Job.MD5 != "" && sum != from.Job.MD5, "the digest matches")
	case v.evidence.info == nil:
		return errors.New("there is no answer that could replace them")
	}
	first := min(v.process.rig.cfg.Checkpoint, v.evidence.info.Size, 2<<20)
	if begin := v.evidence.info.RangeIgnored || v.evidence.asked.Offset == 0; !begin || v.evidence.read < first {
		return fmt.Errorf("the answer to %d that is to replace them has given %d bytes", v.evidence.asked.Offset, v.evidence.read)
	}
	return nil
}

func proved(ok bool, otherwise string) error {
	if ok {
		return nil
	}
	return errors.New(otherwise)
}
