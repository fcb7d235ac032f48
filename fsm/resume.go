package fsm

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"otad/hashing"
	"otad/journal"
	"otad/metrics"
)

// castagnoli is the polynomial of a checkpoint's tail CRC.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is how far a package has come: a checkpoint, and the digest of
// exactly the bytes before its offset.
type position struct {
	journal.Checkpoint
	digest *hashing.Digest
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

// resume finds the position that the journal claims and the file bears out, and
// cuts the file back to it. What each arm finds was left by:
//
//   - a file longer than the checkpoint: a cut between write and commit;
//   - a file shorter, or a tail that does not match: a disk that lost what it
//     had called durable. Older checkpoints are tried, newest first;
//   - a digest state that cannot be restored: another version of otad. The file
//     is hashed again up to the offset, and every byte of it kept.
//
// Nothing is read but the block before the checkpoint.
func (u *Updater) resume(ctx context.Context, file Partial, job journal.Job) (position, error) {
	size, err := file.Size()
	if err != nil {
		return position{}, err
	}
	checkpoints := u.Journal.Checkpoints()
	for i, cp := range checkpoints {
		if err := holds(file, size, cp); err != nil {
			u.Log.Warn("a checkpoint does not hold", "offset", cp.Offset, "err", err)
			continue
		}
		digest, err := u.restore(ctx, file, cp, algorithms(job))
		if err != nil {
			return position{}, err
		}
		if i > 0 {
			u.Metrics.Restart(metrics.RestartCheckpointLost)
			if err := u.wrote(u.Journal.Rewind(cp)); err != nil {
				return position{}, err
			}
		}
		cp.Digest = digest.AppendState(nil)
		return position{cp, digest}, cutBack(file, size, cp.Offset)
	}
	if len(checkpoints) > 0 {
		u.Metrics.Restart(metrics.RestartCheckpointLost)
		if err := u.forgetBytes(); err != nil {
			return position{}, err
		}
	}
	return position{digest: hashing.New(algorithms(job))}, cutBack(file, size, 0)
}

// errTail is a checkpoint that the file does not bear out.
var errTail = errors.New("the block before it is not what was written")

func holds(file Partial, size int64, cp journal.Checkpoint) error {
	if size < cp.Offset {
		return fmt.Errorf("the file ends at %d", size)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(file, cp.Offset-cp.Tail, cp.Tail)); err != nil {
		return err
	}
	if sum.Sum32() != cp.TailCRC {
		return errTail
	}
	return nil
}

// restore brings the digest of the first cp.Offset bytes back.
func (u *Updater) restore(ctx context.Context, file Partial, cp journal.Checkpoint, a hashing.Algorithms) (*hashing.Digest, error) {
	digest, err := hashing.Resume(cp.Digest)
	if err == nil && digest.Len() == cp.Offset && digest.Algorithms() == a {
		return digest, nil
	}
	u.Log.Warn("the digest state cannot be restored, hashing the file again", "offset", cp.Offset, "err", err)
	u.Metrics.Restart(metrics.RestartDigestState)
	return rehash(ctx, file, cp.Offset, a, func(int64) {})
}

// rehashStep is how many bytes rehash reads at a time, and tells of.
const rehashStep = 256 << 10

// rehash digests the first n bytes of file and tells how far it has come.
func rehash(ctx context.Context, file io.ReaderAt, n int64, a hashing.Algorithms, tell func(done int64)) (*hashing.Digest, error) {
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
		tell(off)
	}
	return digest, nil
}

func cutBack(file Partial, size, offset int64) error {
	if size == offset {
		return nil
	}
	return file.Truncate(offset)
}

// forgetBytes makes the journal claim nothing of the job any more.
func (u *Updater) forgetBytes() error {
	_, err := u.update(giveUpBytes)
	return err
}
