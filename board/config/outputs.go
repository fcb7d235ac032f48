package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"otad/journal"
)

const outputOption = "output"

// Output is a device that a package may be written to, and the name by which a
// request asks for it.
type Output struct{ Name, Device string }

// Outputs are the devices of -output. A request of serve may name those of Named;
// fetch writes to Device.
type Outputs struct {
	Named  []Output
	Device string // "" for a file in the state directory
}

// DeviceOf returns the device of that name, and whether there is one.
func (o Outputs) DeviceOf(name string) (string, bool) {
	i := slices.IndexFunc(o.Named, func(n Output) bool { return n.Name == name })
	if i < 0 {
		return "", false
	}
	return o.Named[i].Device, true
}

// Devices returns every device that serve may write to.
func (o Outputs) Devices() (paths []string) {
	for _, n := range o.Named {
		paths = append(paths, n.Device)
	}
	return paths
}

// checkOutputFlags returns an error for an -output on the command line that is the
// other command's: serve needs a name for each device, fetch has one device.
func checkOutputFlags(command string, flags []assignment) error {
	for _, a := range flags {
		if a.option.name != outputOption {
			continue
		}
		named := !strings.HasPrefix(a.text, "/")
		if command == fetchCommand && named {
			return usagef("%s: otad fetch takes a DEVICE without a name", a.source)
		}
		if command == serveCommand && !named {
			return usagef("%s: otad serve takes NAME=DEVICE: a request asks for the device by its name", a.source)
		}
	}
	return nil
}

// outputs is a list of NAME=DEVICE, and one DEVICE. Each Set adds to it. The two
// commands that have it may share a file, where each ignores what is the other's.
type outputs struct{ target *Outputs }

func (o outputs) clear() { *o.target = Outputs{} }

func (o outputs) Set(text string) error {
	name, device, named := strings.Cut(text, "=")
	if !named || strings.HasPrefix(text, "/") {
		name, device, named = "", text, false
	}
	if problem := journal.OutputProblem(device); problem != "" {
		return fmt.Errorf("want a device such as /dev/mmcblk0p3, %s, which %s", got(device), problem)
	}
	switch {
	case named && !isOutputName(name):
		return fmt.Errorf("want NAME=DEVICE with a name of letters, digits, - and _, %s", got(text))
	case !named && o.target.Device != "":
		return errors.New("want one DEVICE, got two")
	case !named:
		o.target.Device = device
		return nil
	}
	if _, taken := o.target.DeviceOf(name); taken {
		return fmt.Errorf("want each NAME once, %s again", got(name))
	}
	o.target.Named = append(o.target.Named, Output{name, device})
	return nil
}

func (o outputs) String() string { return o.target.Device }

func isOutputName(s string) bool {
	const most = 32
	return s != "" && len(s) <= most && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
