package installer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPackageOnADeviceIsHandedOverByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.h.Job.Output = "/dev/mmcblk0p3"
		b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(1)
		p := b.begun()[0]
		p.wantVariables(t, "OTAD_DEVICE=/dev/mmcblk0p3", "OTAD_NAME=u.zip")
		for _, v := range p.environment {
			if strings.HasPrefix(v, "OTAD_PACKAGE=") {
				t.Errorf("%s is handed over too, and there is no such file", v)
			}
		}
	})
}
