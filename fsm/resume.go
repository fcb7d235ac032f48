package fsm

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"

	"otad/hashing"
	"otad/journal"
	"otad/metrics"
)

// castagnoli is the polynomial of a checkpoint's tail CRC.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is how far a package has come: the newest checkpoint that the journal
// holds, and the digest of exactly the bytes before its offset. While a body is
// being stored the digest belongs to the hasher and is ahead of the checkpoint.
type position struct {
	saved  journal.Checkpoint
	digest *hashing.Digest
}

// resumer finds the position that a job goes on from.
type resumer struct {
	journal *journalWriter
	report  *reporter
	log     *slog.Logger
}

// algorithms are the digests that a job asks for.
func algorithms(job journal.Job) hashing.Algorithms {
	var a hashing.Algorithms
	if job.MD5 != "" {
		a |= hashing.MD5
	}
	if job.SHA256 != "" {
		a |= hashing.SHA256
	}
	return a
}

// resume returns the position that the journal claims and the file confirms, and
// cuts the file back to it. It finds
//
//   - a file longer than the checkpoint, left by a cut between write and commit;
//   - a file shorter, or a tail that does not match, left by a disk that lost
//     what it had reported durable: the newest older checkpoint that holds is
//     taken, or offset 0;
//   - a tail that cannot be read, which proves nothing: the job fails and keeps
//     its bytes, and its next try reads again. After unreadTries the newest older
//     checkpoint that can be read is taken, if there is one: the bytes behind it
//     are then written anew, and a bad block with them;
//   - a digest state that cannot be restored, written by another version of
//     otad: the file is hashed again up to the offset, and no byte is given up.
//
// It reads nothing but the block before the checkpoint. What an answer that takes
// over has left behind the package's end is copied to its place first.
func (r resumer) resume(ctx context.Context, file Partial, job journal.Job) (position, error) {
	if rec := r.journal.record(); rec.Staged > 0 && r.journal.durable() > 0 {
		err := r.journal.moveStaged(file)
		if err != nil && rec.Tries >= unreadTries {
			r.report.restart(metrics.RestartCheckpointLost)
			err = r.journal.dropCheckpoints()
		}
		if err != nil {
			return position{}, err
		}
	}
	size, err := file.Size()
	if err != nil {
		return position{}, err
	}
	if err := r.doubt(ctx, file, job); err != nil {
		return position{}, err
	}
	checkpoints := r.journal.checkpoints()
	var unread *Error
	for i, cp := range checkpoints {
		if err := holds(file, size, cp); err != nil {
			if errors.As(err, &unread) && r.journal.record().Tries < unreadTries {
				return position{}, unread
			}
			r.log.Warn("a checkpoint does not hold", "offset", cp.Offset, "err", err)
			continue
		}
		digest, err := r.restore(ctx, file, cp, algorithms(job))
		if err != nil {
			return position{}, err
		}
		if i > 0 {
			r.report.restart(metrics.RestartCheckpointLost)
			if err := r.journal.rewind(cp); err != nil {
				return position{}, err
			}
		}
		cp.Digest = digest.AppendState(nil)
		return position{saved: cp, digest: digest}, cutBack(file, size, cp.Offset)
	}
	if unread != nil {
		return position{}, unread // of no checkpoint is it known that it does not hold
	}
	if len(checkpoints) > 0 {
		r.report.restart(metrics.RestartCheckpointLost)
		if err := r.journal.dropCheckpoints(); err != nil {
			return position{}, err
		}
	}
	return position{digest: hashing.New(algorithms(job))}, cutBack(file, size, 0)
}

// doubt compares the digest of a package that is whole and may have been written
// over since. One that was is given up: nothing of it is claimed any more.
func (r resumer) doubt(ctx context.Context, file Partial, job journal.Job) error {
	whole, ok := file.(Doubter)
	if !ok || !whole.Doubtful() || len(r.journal.checkpoints()) == 0 {
		return nil
	}
	digest, err := rehash(ctx, file, job.Size, algorithms(job), r.report.read)
	if err != nil {
		return err
	}
	if err := compare(job, digest); err == nil {
		return whole.Trust()
	}
	r.log.Warn("the package was written over, fetching it again", "output", job.Output)
	r.report.restart(metrics.RestartCheckpointLost)
	return r.journal.dropCheckpoints()
}

// errTail is returned for a checkpoint whose tail is not in the file.
var errTail = errors.New("the block before it is not what was written")

// unreadTries is how many times in a row a job fails until a block that cannot be
// read may cost bytes.
const unreadTries = 3

// holds returns nil when the file is long enough for the checkpoint and the
// checkpoint's CRC matches the block before its offset. A block that cannot be
// read is an *Error.
func holds(file Partial, size int64, cp journal.Checkpoint) error {
	if size < cp.Offset {
		return fmt.Errorf("the file ends at %d", size)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(file, cp.Offset-cp.Tail, cp.Tail)); err != nil {
		e := storageLost("cannot read the block before %d: %v; the bytes are kept, and the same job reads them again", cp.Offset, err)
		e.Err = err
		return e
	}
	if sum.Sum32() != cp.TailCRC {
		return errTail
	}
	return nil
}

// restore returns the digest of the first cp.Offset bytes.
func (r resumer) restore(ctx context.Context, file Partial, cp journal.Checkpoint, a hashing.Algorithms) (*hashing.Digest, error) {
	digest, err := hashing.Resume(cp.Digest)
	if err == nil && digest.Len() == cp.Offset && digest.Algorithms() == a {
		return digest, nil
	}
	r.log.Warn("the digest state cannot be restored, hashing the file again", "offset", cp.Offset, "err", err)
	r.report.restart(metrics.RestartDigestState)
	return rehash(ctx, file, cp.Offset, a, func(int64) {})
}

// rehashStep is how many bytes rehash reads between two reports.
const rehashStep = 256 << 10

// rehash digests the first n bytes of file. It calls report with the bytes done.
func rehash(ctx context.Context, file io.ReaderAt, n int64, a hashing.Algorithms, report func(done int64)) (*hashing.Digest, error) {
	digest := hashing.New(a)
	block := make([]byte, rehashStep)
	for off := int64(0); off < n; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := file.ReadAt(block[:min(rehashStep, n-off)], off)
		if k == 0 && err != nil {
			return nil, fmt.Errorf("read the package at %d: %w", off, err)
		}
		digest.Write(block[:k])
		off += int64(k)
		report(off)
	}
	return digest, nil
}

func cutBack(file Partial, size, offset int64) error {
	if size == offset {
		return nil
	}
	return file.Truncate(offset)
}
