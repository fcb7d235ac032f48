package app

import (
	"otad/board/config"
	"otad/fsm"
)

// devices returns what the command may write to.
func devices(cfg *config.Config) []string {
	if cfg.Command == "serve" {
		return cfg.Output.Devices()
	}
	if cfg.Output.Device == "" {
		return nil
	}
	return []string{cfg.Output.Device}
}

// outputOf returns the device that the package goes to, "" for a file. Only the
// current job has one.
func (s stateDir) outputOf(name string) string {
	if job := s.record().Job; job.Name == name {
		return job.Output
	}
	return ""
}

// watchedSlot is a package on a device, whose operations the pulse watches.
type watchedSlot struct {
	watchedPartial
	fsm.Doubter
}
