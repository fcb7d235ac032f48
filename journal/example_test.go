package journal_test

import (
	"fmt"
	"log"
	"os"

	"otad/hashing"
	"otad/journal"
)

// A download is recorded, and its first block is synced and then committed. The
// next process finds the checkpoint and continues there.
func Example() {
	path, err := os.MkdirTemp("", "otad")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	dir, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()

	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	job := journal.Job{URL: "https://example.com/u.zip", Name: "u.zip", MD5: "9e107d9d372bb6826bd81d3542a419d6"}
	if err := job.Validate(); err != nil {
		log.Fatal(err)
	}
	_, err = j.Update(func(r *journal.Record) {
		r.State, r.Job = "Downloading", job
		r.Generation++ // the bytes of another job do not count
	})
	if err != nil {
		log.Fatal(err)
	}
	digest := hashing.New(hashing.MD5)
	digest.Write([]byte("The quick brow"))
	// Here the block is written to the partial file and synced. Only then:
	err = j.Commit(journal.Checkpoint{Offset: digest.Len(), Digest: digest.AppendState(nil)})
	if err != nil {
		log.Fatal(err)
	}
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}

	j, err = journal.Open(dir, journal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	fmt.Println(j.Recovery().Result, j.Record().State, j.Record().Job.Name)
	for _, cp := range j.Checkpoints() {
		fmt.Println("resume at", cp.Offset)
	}
	// Output:
	// clean Downloading u.zip
	// resume at 14
}
