package init_test

import (
	"os/exec"
	"testing"
)

func TestInitScriptsAreShell(t *testing.T) {
	for _, name := range []string{"S90otad", "otad.procd", "installers/rauc.sh", "installers/swupdate.sh", "installers/ab-dd.sh"} {
		if out, err := exec.Command("sh", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
