package journal_test

import (
	"strings"
	"testing"

	"otad/journal"
)

// A size below zero, from whatever wrote it, is a size that is not known: no
// space can be reserved for it, in no try.
func TestNegativeTotalIsNotKnown(t *testing.T) {
	body := strings.Replace(frozenBody, `"total": 104857600`, `"total": -5`, 1)
	j := mustOpen(t, replaceStored(t, journal.StoredAs(2, []byte(body)), nil))
	defer j.Close()
	if got := j.Record().Validator.Total; got != 0 {
		t.Errorf("read as %d", got)
	}
	mustUpdate(t, j, func(r *journal.Record) { r.Validator.Total = -7 })
	if got := j.Record().Validator.Total; got != 0 {
		t.Errorf("stored as %d", got)
	}
}
