package journal_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/journal"
)

const (
	randomDamages = 2000            // in addition to listedDamages
	caseTimeout   = 5 * time.Second // for one case, in which a journal is opened twice
	maxCrashes    = 10
)

// TestNoDamageStopsTheJournal opens damaged journals in a child process. None
// may crash or block it or read as something that was never written, and the
// next start must be clean.
func TestNoDamageStopsTheJournal(t *testing.T) {
	n, crashes := 0, 0
	total := len(listedDamages(soundBases(t, fastDir(t)))) + randomDamages
	for n < total && crashes < maxCrashes {
		last, err := runDamages(t, n, total)
		if err != nil {
			t.Errorf("case %d: %v", last, err)
			crashes++
		}
		n = last + 1
	}
}

// runDamages runs the cases in a child and returns the last one that the child
// began, with an error if the child crashed or blocked in it.
func runDamages(t *testing.T, from, to int) (last int, err error) {
	cmd := childCommand(t, "damage", fastDir(t), strconv.Itoa(from), strconv.Itoa(to))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last = from
	hung := false
	watchdog := time.AfterFunc(caseTimeout, func() { hung = true; cmd.Process.Kill() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		watchdog.Reset(caseTimeout)
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			last = n
		} else {
			t.Errorf("case %d: %s", last, lines.Text())
		}
	}
	watchdog.Stop()
	if err = cmd.Wait(); hung {
		err = fmt.Errorf("took more than %v", caseTimeout)
	}
	return last, err
}

// damageChild prints the number of each case at its beginning, and what failed
// in it.
func damageChild(args []string) error {
	dir := args[0]
	from, err1 := strconv.Atoi(args[1])
	to, err2 := strconv.Atoi(args[2])
	bases, err3 := makeBases(dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	listed := listedDamages(bases)
	found := map[journal.Result]int{}
	for n := from; n < to; n++ {
		fmt.Println(n)
		base := bases[n%len(bases)]
		var what string
		var put func(path string) error
		if n < len(listed) {
			what, put = listed[n].what, listed[n].put
			base = listed[n].base
		} else {
			what, put = randomDamage(seeded(uint64(n)), bases, base)
		}
		result, err := tryDamage(filepath.Join(dir, "case"), base, put)
		if err != nil {
			fmt.Printf("%s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		found[result]++
	}
	fmt.Fprintln(os.Stderr, "damaged journals:", found)
	return nil
}

// tryDamage opens one damaged journal, writes to it, and opens it again.
func tryDamage(dir string, base *base, put func(path string) error) (journal.Result, error) {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), put(filepath.Join(dir, journal.FileName))); err != nil {
		return "", err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		return "", err
	}
	defer j.Close()
	result := j.Recovery().Result
	switch result {
	case journal.Clean:
		err = base.check(j)
	case journal.SetAside:
		if _, statErr := os.Lstat(filepath.Join(dir, "journal.db.corrupt")); statErr != nil || len(j.Checkpoints()) > 0 || j.Record().State != "" {
			err = fmt.Errorf("set aside, yet %+v %v", j.Record(), statErr)
		}
	default:
		err = fmt.Errorf("result %q", result)
	}
	return result, errors.Join(err, use(dir, j))
}

// use closes j, opens the journal again, writes to it and reads it back.
func use(dir string, j *journal.Journal) error {
	if err := j.Close(); err != nil {
		return err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		return err
	}
	defer j.Close()
	if got := j.Recovery(); got.Result != journal.Clean {
		return fmt.Errorf("at the second start: %+v", got)
	}
	r, err := j.Update(func(r *journal.Record) { *r = worstCase(16, byte(r.OutboxSeq)); r.Generation += 5 })
	if err := errors.Join(err, j.Rewind(checkpointAt(1)), j.Commit(checkpointAt(2)), j.Close()); err != nil {
		return err
	}
	peeked, checkpoints, err := journal.Peek(dir)
	if err != nil || fmt.Sprintf("%+v", peeked) != fmt.Sprintf("%+v", r) || len(checkpoints) != 2 {
		return fmt.Errorf("wrote generation %d, read %d with %d checkpoints, %v", r.Generation, peeked.Generation, len(checkpoints), err)
	}
	return nil
}

// base is a sound journal, with all records and checkpoints that it ever held.
type base struct {
	file        []byte
	records     map[string]bool
	checkpoints map[string]bool
}

func (b *base) check(j *journal.Journal) error {
	if r := fmt.Sprintf("%+v", j.Record()); !b.records[r] {
		return fmt.Errorf("reads a record that was never written: %.200s", r)
	}
	for _, cp := range j.Checkpoints() {
		if !b.checkpoints[fmt.Sprintf("%+v", cp)] {
			return fmt.Errorf("reads a checkpoint that was never written: %+v", cp)
		}
	}
	return nil
}

func (b *base) remember(j *journal.Journal) {
	b.records[fmt.Sprintf("%+v", j.Record())] = true
	for _, cp := range j.Checkpoints() {
		b.checkpoints[fmt.Sprintf("%+v", cp)] = true
	}
}

func soundBases(t *testing.T, dir string) []*base {
	t.Helper()
	bases, err := makeBases(dir)
	if err != nil {
		t.Fatal(err)
	}
	return bases
}

// makeBases returns the journals to be damaged, the same each time: with the
// record on pages of its own and inside the root page.
func makeBases(dir string) (bases []*base, err error) {
	for i, record := range []journal.Record{worstCase(16, 1), worstCase(3, 2), fullRecord()} {
		b, err := makeBase(filepath.Join(dir, fmt.Sprint("base", i)), record)
		if err != nil {
			return nil, err
		}
		bases = append(bases, b)
	}
	return bases, nil
}

func makeBase(dir string, record journal.Record) (*base, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		return nil, err
	}
	b := &base{records: map[string]bool{}, checkpoints: map[string]bool{}}
	for i := range 8 {
		err := j.Commit(checkpointAt(int64(i) << 20))
		if i%2 == 0 {
			_, err = j.Update(func(r *journal.Record) { *r = record; r.Restarts = i })
		}
		if err != nil {
			return nil, err
		}
		b.remember(j)
	}
	if err := j.Close(); err != nil {
		return nil, err
	}
	b.file, err = os.ReadFile(filepath.Join(dir, journal.FileName))
	return b, err
}
