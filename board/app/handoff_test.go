package app

import (
	"testing"

	"otad/fsm"
)

func TestUnitStatusOfAnInstallation(t *testing.T) {
	for want, s := range map[string]fsm.Snapshot{
		"u.zip ready":                            {},
		"u.zip: Installing":                      {Stage: fsm.StageInstalling, Message: "Installing"},
		"u.zip: Installed":                       {Stage: fsm.StageSucceeded, Message: "Installed"},
		"u.zip: Installation failed: E: \\u001b": {Stage: fsm.StageFailed, Message: "Installation failed", Error: "E: \x1b"},
	} {
		s.State, s.Name = fsm.Ready, "u.zip"
		u := unitStatus{next: make(chan string, 1)}
		if u.note(s); <-u.next != want {
			t.Errorf("%+v is not shown as %q", s, want)
		}
	}
}
