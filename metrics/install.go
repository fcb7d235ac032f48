package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus/promauto"
)

// InstallResult is how one run of the installer command ended.
type InstallResult string

// The results of ota_installs_total.
const (
	InstallSucceeded   InstallResult = "succeeded"   // the package is installed and running
	InstallReboot      InstallResult = "reboot"      // it is installed, and takes effect after a reboot
	InstallLater       InstallResult = "later"       // the command asks to be run again later
	InstallInterrupted InstallResult = "interrupted" // ended by a signal, by the time limit, or with otad or the board
	InstallFailed      InstallResult = "failed"      // for good
)

func installResults() []InstallResult {
	return []InstallResult{InstallSucceeded, InstallReboot, InstallLater, InstallInterrupted, InstallFailed}
}

func (m *Metrics) addInstall(factory promauto.Factory) {
	m.installs = newCounterSet(factory, "ota_installs_total",
		"Runs of the installer command that ended, by result.", "result", installResults())
	m.installDuration = newHistogram(factory, "ota_install_duration_seconds",
		"Time one run of the installer command took.",
		1, 10, 30, 60, 120, 300, 600, 1800, 3600)
}

// Installed counts one run of the installer command that has ended. took is 0
// where it is not known how long it ran.
func (m *Metrics) Installed(result InstallResult, took time.Duration) {
	m.installs.inc(result)
	if took > 0 {
		m.installDuration.Observe(took.Seconds())
	}
}
