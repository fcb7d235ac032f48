package installer

import (
	"context"
	"fmt"
	"time"

	"otad/fsm"
	"otad/journal"
)

// How long a package has been Ready. A board's wall clock may be years wrong, so
// the time is counted: while the board is on, suspended or not, and otad has run
// once in that boot. Time with the power off is not counted, and a cut loses at
// most the last ageStep. So the age is never more than the real one, and a limit
// on it is one on the time that the board was on.

// ageStep is how often the age of a package is stored.
const ageStep = time.Hour

// ageNow returns the age at a moment.
func ageNow(in journal.Install, now Boot) time.Duration {
	age := time.Duration(in.Age) * time.Second
	switch in.AgedBoot {
	case "":
		return 0
	case now.ID:
		return age + max(0, now.Up-time.Duration(in.Aged)*time.Second)
	default: // it was Ready before this boot began
		return age + now.Up
	}
}

// counted stores the age at a moment.
func counted(in *journal.Install, now Boot) {
	in.Age = int64(ageNow(*in, now) / time.Second)
	in.AgedBoot, in.Aged = now.ID, int64(now.Up/time.Second)
}

// expired reports whether the package has been Ready for too long.
func (i *Installer) expired(in journal.Install, now Boot) bool {
	return i.cfg.MaxAge > 0 && ageNow(in, now) > i.cfg.MaxAge
}

// expiry is the detail of the error of such a package.
func (i *Installer) expiry(in journal.Install, now Boot) string {
	return fmt.Sprintf("Ready for %v, more than the %v of -ready-max-age", ageNow(in, now).Round(time.Second), i.cfg.MaxAge)
}

// age stores the age of a package that waits for a request, where there is a limit
// on it, and returns when it is to be stored again.
func (i *Installer) age(ctx context.Context, h fsm.Handover) time.Duration {
	if i.cfg.MaxAge == 0 {
		return never
	}
	now, err := i.cfg.Boot()
	if err != nil {
		i.cfg.Log.Warn("the age of the package is not known", "err", err)
		return ageStep
	}
	if in := h.Install; in.AgedBoot == now.ID {
		if left := time.Duration(in.Aged)*time.Second + ageStep - now.Up; left > 0 {
			return left
		}
	}
	i.write(ctx, h.ID, fsm.InstallReport{}, func(in *journal.Install) { counted(in, now) })
	return ageStep
}
