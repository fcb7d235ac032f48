package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"otad/board/storage"
	"otad/hashing"
	"otad/journal"
	"otad/netio"
)

// The parts of a fetch, each done alone with the code that otad uses for it.
const (
	partReceive = "receive"
	partDigest  = "MD5"
	partCRC     = "CRC-32C of the checkpoint"
	partFile    = "write, fdatasync"
	partJournal = "journal"
)

// As in otad: the bytes of one write, and of one checkpoint.
const (
	blockSize  = 512 << 10
	checkpoint = 1 << 20
)

func parts(p plan) []step {
	part := func(name string, do func(plan) error) step {
		return step{name: name, do: func() (time.Duration, error) {
			before, err := ownTime()
			if err != nil {
				return 0, err
			}
			if err := do(p); err != nil {
				return 0, err
			}
			after, err := ownTime()
			return after - before, err
		}}
	}
	return []step{part(partReceive, receive), part(partDigest, hash), part(partCRC, checksum),
		part(partFile, store), part(partJournal, commit)}
}

// ownTime returns the processor time of this process.
func ownTime() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

func receive(p plan) error {
	f, err := netio.New(netio.Config{AllowHTTP: true})
	if err != nil {
		return err
	}
	body, err := f.Open(context.Background(), netio.Request{URL: p.Whole.URL, Size: p.Whole.Size})
	if err != nil {
		return err
	}
	defer body.Close()
	return blocks(p, func(block []byte, _ int64) error {
		_, err := io.ReadFull(body, block)
		return err
	})
}

func hash(p plan) error {
	d := hashing.New(hashing.MD5)
	return blocks(p, func(block []byte, _ int64) error {
		_, err := d.Write(block)
		return err
	})
}

func checksum(p plan) error {
	table, crc := crc32.MakeTable(crc32.Castagnoli), uint32(0)
	return blocks(p, func(block []byte, _ int64) error {
		crc = crc32.Update(crc, table, block)
		return nil
	})
}

func store(p plan) error {
	dir, err := storage.OpenStateDir(work)
	if err != nil {
		return err
	}
	defer dir.Close()
	file, err := dir.OpenPartial("package.bin")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Reserve(p.Whole.Size, 0); err != nil {
		return err
	}
	return blocks(p, func(block []byte, offset int64) error {
		if _, err := file.WriteAt(block, offset); err != nil {
			return err
		}
		if (offset+int64(len(block)))%checkpoint == 0 {
			return file.Sync()
		}
		return nil
	})
}

func commit(p plan) error {
	dir, err := os.Open(work)
	if err != nil {
		return err
	}
	defer dir.Close()
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		return err
	}
	defer j.Close()
	job := journal.Job{URL: p.Whole.URL, Name: filepath.Base(p.Whole.URL), Size: p.Whole.Size, MD5: p.Whole.MD5}
	if _, err := j.Update(func(r *journal.Record) { r.Job = job }); err != nil {
		return err
	}
	digest := hashing.New(hashing.MD5).AppendState(nil)
	for offset := int64(checkpoint); offset <= p.Whole.Size; offset += checkpoint {
		if err := j.Commit(journal.Checkpoint{Offset: offset, Tail: checkpoint, Digest: digest}); err != nil {
			return fmt.Errorf("commit at %d: %w", offset, err)
		}
	}
	return nil
}

// blocks calls do with one block after the other, each at its offset.
func blocks(p plan, do func(block []byte, offset int64) error) error {
	block := make([]byte, blockSize)
	for offset := int64(0); offset < p.Whole.Size; offset += blockSize {
		if err := do(block[:min(blockSize, p.Whole.Size-offset)], offset); err != nil {
			return err
		}
	}
	return nil
}
