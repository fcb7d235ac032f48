package fsm_test

import (
	"fmt"
	"os"
	"time"

	"otad/journal"
	"otad/netio/origintest"
)

// script is a fault or two for each of the first requests, on an origin that
// has strong validators or not.
func (c *randomCase) script(size int64) []*origintest.Rule {
	var rules []*origintest.Rule
	if c.chance(3) {
		rules = append(rules, always().NoETag())
	}
	if c.chance(3) {
		rules = append(rules, always().NoLastModified())
	}
	if c.chance(6) {
		rules = append(rules, always().WeakETag())
	}
	if c.chance(8) {
		rules = append(rules, always().IgnoreRange())
	}
	if c.chance(16) {
		rules = append(rules, always().IfMatchFails())
	}
	if c.chance(16) {
		c.unsized = true
		rules = append(rules, always().IgnoreRange().UntilClose())
	}
	if !c.fair {
		rules = append(rules, from(1+c.IntN(4)).Replace(c.other))
	}
	for n := range c.faulty {
		r := on(n + 1)
		for range 1 + c.IntN(2) {
			c.fault(r, size)
		}
		rules = append(rules, r)
	}
	return rules
}

// fault makes something go wrong with the requests of a rule.
func (c *randomCase) fault(r *origintest.Rule, size int64) {
	pos := c.Int64N(size + 1)
	switch c.IntN(44) {
	case 0, 1, 2:
		r.ResetAt(pos)
	case 3, 4:
		r.FinAt(pos)
	case 5, 6:
		r.ResetAfter(pos)
	case 7:
		r.StallAt(pos)
	case 8:
		r.ResetEarly()
	case 9:
		r.FinEarly()
	case 10:
		r.StallEarly()
	case 11:
		r.DownFor(time.Duration(c.IntN(10)) * time.Second)
	case 12:
		r.AtMost(1 + pos)
	case 13:
		r.StartEarlier(pos)
	case 14:
		r.StartLater(1 + pos)
	case 15:
		r.IgnoreRange()
	case 16:
		r.Chunked()
	case 17:
		r.HTTP10()
	case 18:
		r.Status([]int{400, 404, 412, 416, 500, 503}[c.IntN(6)])
	case 19:
		r.Status(503).RetryAfter(fmt.Sprint(c.IntN(1000) - 100))
	case 20:
		r.ExpiredAWS()
	case 21:
		r.Header("ETag", `"random"`)
	case 22:
		r.Header("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")
	case 23:
		r.Total(size + c.Int64N(3) - 1)
	case 24:
		r.ContentRange("bytes 0-0/0")
	case 25:
		r.Gzip()
	case 26:
		r.Chunked().Surplus(1 + pos)
	case 27:
		r.UntilClose().Surplus(1)
	case 28:
		r.HugeHeader(300 << 10) // more than is taken
	case 29, 30:
		r.Replace(c.other)
	case 31:
		r.Redirect(302, "/elsewhere.bin")
	case 32, 33:
		r.Page("<html>Welcome aboard.</html>")
	case 34:
		r.Page("<html>Down for maintenance.</html>").Chunked()
	case 35, 36: // a portal
		r.Replace(sample(7, 1+c.Int64N(2000))).IgnoreRange()
	case 37:
		r.IgnoreRange().UntilClose()
	case 38:
		r.IfMatchFails()
	case 39:
		r.RangeFails([]int{403, 416, 501}[c.IntN(3)])
	case 40, 41:
		r.IgnoreRange().Header("ETag", `"random"`).Header("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")
	case 42:
		r.Header("ETag", "").Header("Last-Modified", "")
	case 43:
		r.IgnoreRange().ContentRange("bytes 0-0/1")
	}
}

// damage does to the partial file what disks and people do. Without a read-back
// only the block before the checkpoint is looked at again, so only there a
// flipped byte has to be found out.
func (c *randomCase) damage() {
	name := c.rig.path("u.bin.otad-part")
	st, err := os.Stat(name)
	if err != nil || !c.chance(3) {
		return
	}
	size := st.Size()
	switch kind := c.IntN(5); {
	case kind == 0:
		err = os.Truncate(name, c.Int64N(size+1))
	case kind == 1:
		err = os.Truncate(name, size+c.Int64N(1<<20))
	case kind == 2:
		err = os.Remove(name)
	case c.rig.cfg.Readback && size > 0:
		err = flipByte(name, c.Int64N(size))
	default:
		_, cps, peekErr := journal.Peek(c.rig.dir)
		if err = peekErr; err == nil && len(cps) > 0 && cps[0].Offset <= size {
			err = flipByte(name, cps[0].Offset-1-c.Int64N(cps[0].Tail))
		}
	}
	if err != nil {
		c.t.Error(err)
	}
}
