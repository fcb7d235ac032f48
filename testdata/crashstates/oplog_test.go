package crashstates

import (
	"fmt"
	"testing"

	"otad/journal"
)

// otad's log can be late.
func TestStartingOverIsReportedInTime(t *testing.T) {
	say := func(text string) Op { return Op{Kind: Print, Data: []byte(text)} }
	over, going, progress := say(`{"msg":"starting over"}`), say(`{"msg":"going on"}`), say(`{"msg":"progress","durable":5}`)
	commit, given := Op{Kind: Write, Name: journal.FileName}, Op{Kind: Truncate, Name: "a.bin.otad-part"}
	written := Op{Kind: Write, Name: "a.bin.otad-part"}
	want := fmt.Sprint(Log{written, progress, over, commit, given, written})
	for _, l := range []Log{
		{written, progress, over, commit, given, written},
		{written, progress, commit, over, given, written},
		{written, progress, commit, given, over, written},
		{written, progress, commit, given, written, over},
	} {
		if got := fmt.Sprint(l.inTime()); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if got, want := fmt.Sprint(Log{progress, commit, going, over, given}.inTime()), fmt.Sprint(Log{progress, over, commit, going, given}); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
