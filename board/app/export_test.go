package app

import (
	"otad/board/config"
	"otad/fsm"
	"otad/netio"
)

// What the rooms are told of the flags.

func SourceConfig(t config.Transfer, b Build) netio.Config { return sourceConfig(t, b) }

func MachineConfig(t config.Transfer) fsm.Config { return machineConfig(t) }

// FlagError translates the error of a job for the command line.
var FlagError = flagError
