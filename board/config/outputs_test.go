package config_test

import (
	"reflect"
	"strings"
	"testing"

	"otad/board/config"
)

func TestOutputs(t *testing.T) {
	shared := file(t, "output a=/dev/mmcblk0p2", "output b=/dev/disk/by-partlabel/rootfs-b", "output /dev/sdb1")
	serve := parse(t, "serve", "-config", shared)
	if got, ok := serve.Output.DeviceOf("b"); !ok || got != "/dev/disk/by-partlabel/rootfs-b" {
		t.Errorf("b is %q, %v", got, ok)
	}
	if _, ok := serve.Output.DeviceOf("c"); ok {
		t.Error("there is a c")
	}
	if got := serve.Output.Devices(); !reflect.DeepEqual(got, []string{"/dev/mmcblk0p2", "/dev/disk/by-partlabel/rootfs-b"}) {
		t.Errorf("serve may write to %q", got)
	}
	fetch := parse(t, append(command("fetch"), "-config", shared)...)
	if fetch.Fetch.Job.Output != "/dev/sdb1" {
		t.Errorf("fetch writes to %q", fetch.Fetch.Job.Output)
	}
	if got := parse(t, append(command("fetch"), "-config", shared, "-output", "/dev/sdc1")...).Fetch.Job.Output; got != "/dev/sdc1" {
		t.Errorf("fetch writes to %q, although the flag says otherwise", got)
	}
}

func TestOutputIsRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"otad fetch takes a DEVICE without a name":            append(command("fetch"), "-output", "b=/dev/sda2"),
		"otad serve takes NAME=DEVICE":                        {"serve", "-output", "/dev/sda2"},
		"which is not an absolute path":                       {"serve", "-output", "b=sda2"},
		"want NAME=DEVICE with a name of letters":             {"serve", "-output", "b c=/dev/sda2"},
		`want each NAME once, got "b" again`:                  {"serve", "-output", "b=/dev/sda2", "-output", "b=/dev/sda3"},
		"want one DEVICE, got two":                            append(command("fetch"), "-output", "/dev/sda2", "-output", "/dev/sda3"),
		`want a device such as /dev/mmcblk0p3, got "/dev/a/"`: append(command("fetch"), "-output", "/dev/a/"),
	} {
		_, err := config.Parse(args, nil, nil)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want %s", args, err, name)
		}
	}
}
