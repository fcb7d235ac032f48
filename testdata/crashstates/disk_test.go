package crashstates

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// replay returns the disk after a log.
func replay(l Log) *Disk {
	d := new(Disk)
	for _, o := range l {
		d = d.step(o)
	}
	return d
}

func texts(s State) map[string]string {
	all := make(map[string]string)
	for name, c := range s {
		all[name] = string(c.bytes())
	}
	return all
}

func TestWhatIsNotSyncedMayBeLost(t *testing.T) {
	create, write := Op{Kind: Create, Name: "a"}, Op{Kind: Write, Name: "a", Data: []byte("new")}
	sync, syncDir := Op{Kind: Datasync, Name: "a"}, Op{Kind: Sync, Name: "."}
	rename := Op{Kind: Rename, Name: "a", To: "b"}
	for _, c := range []struct {
		name       string
		log        Log
		lost, kept map[string]string // when everything pending is
	}{
		{"nothing synced", Log{create, write}, nil, map[string]string{"a": "new"}},
		{"only the bytes", Log{create, write, sync}, nil, map[string]string{"a": "new"}},
		{"only the name", Log{create, write, syncDir}, map[string]string{"a": ""}, map[string]string{"a": "new"}},
		{"both", Log{create, write, sync, syncDir}, map[string]string{"a": "new"}, map[string]string{"a": "new"}},
		{"not the rename", Log{create, write, sync, syncDir, rename}, map[string]string{"a": "new"}, map[string]string{"b": "new"}},
		{"the rename, not the bytes", Log{create, syncDir, write, rename, syncDir}, map[string]string{"b": ""}, map[string]string{"b": "new"}},
		{"not the removal", Log{create, write, sync, syncDir, {Kind: Unlink, Name: "a"}}, map[string]string{"a": "new"}, nil},
		{"not the cut", Log{create, write, sync, syncDir, {Kind: Truncate, Name: "a", At: 1}}, map[string]string{"a": "new"}, map[string]string{"a": "n"}},
		{"nothing renamed over something", Log{create, write, sync, syncDir, {Kind: Create, Name: "c"}, {Kind: Rename, Name: "c", To: "a"}},
			map[string]string{"a": "new"}, map[string]string{"a": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := replay(c.log)
			for how, want := range map[How]map[string]string{Lost: c.lost, Kept: c.kept} {
				got := texts(d.crash(slices.Repeat([]Outcome{{How: how}}, d.pending())))
				if !maps.Equal(got, want) {
					t.Errorf("%v: %q, want %q", how, got, want)
				}
			}
			if got := texts(d.now()); !maps.Equal(got, c.kept) {
				t.Errorf("processes see %q, want %q", got, c.kept)
			}
		})
	}
}

func TestModeIsNotSyncedByFdatasync(t *testing.T) {
	made := Log{{Kind: Create, Name: "a", Mode: 0o600}, {Kind: Sync, Name: "."}, {Kind: Chmod, Name: "a", Mode: 0o644}}
	for kind, want := range map[Kind]uint32{Datasync: 0o600, Sync: 0o644} {
		d := replay(append(made, Op{Kind: kind, Name: "a"}))
		if got := d.crash(make([]Outcome, d.pending()))["a"].mode; got != want {
			t.Errorf("after %s the mode is %o, want %o", kind, got, want)
		}
	}
}

func TestWritesTearBetweenSectors(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 2))
	old, data := bytes.Repeat([]byte{'o'}, 5*pageSize), bytes.Repeat([]byte{'n'}, 3*pageSize+100)
	seen := make(map[How]map[string]bool)
	for range 2000 {
		f := Outcome{Head + How(random.IntN(int(Pages-Head)+1)), random.Uint64()}
		at := random.Int64N(2 * pageSize)
		got := f.change(Content{}.write(0, old), Op{Kind: Write, At: at, Data: data}).bytes()
		all := slices.Clone(old)
		copy(all[at:], data)
		unit := sectorSize
		if f.How == Pages {
			unit = pageSize
		}
		for i := 0; i < len(old); i += unit {
			if s := got[i : i+unit]; !bytes.Equal(s, old[i:i+unit]) && !bytes.Equal(s, all[i:i+unit]) {
				t.Fatalf("%v of %d+%d: the unit at %d is a mixture", f, at, len(data), i)
			}
		}
		if seen[f.How] == nil {
			seen[f.How] = make(map[string]bool)
		}
		seen[f.How][string(got)] = true
	}
	for how, results := range seen {
		if len(results) < 100 {
			t.Errorf("%v gives only %d results", how, len(results))
		}
	}
}
