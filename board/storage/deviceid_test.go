package storage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"otad/board/storage"
)

// kernel is what a kernel shows of its devices, by the path below /sys or /proc.
// "/sys/dev/block/8:2 -> PATH" is a link.
type kernel map[string]string

func (k kernel) with(changes kernel) kernel {
	all := kernel{}
	for _, m := range []kernel{k, changes} {
		for path, text := range m {
			all[path] = text
		}
	}
	return all
}

func (k kernel) system(t *testing.T) storage.System {
	t.Helper()
	root := t.TempDir()
	for path, text := range k {
		path := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, isLink := strings.CutPrefix(text, "-> "); {
		case isLink:
			err = os.Symlink(filepath.Join(root, target), path)
		case text != "": // else it is gone
			err = os.WriteFile(path, []byte(text+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return storage.SystemAt(filepath.Join(root, "sys"), filepath.Join(root, "proc"))
}

const sd = "sys/devices/mmc_host/mmc0/mmc0:0001/block/mmcblk0"

func sdCard() kernel {
	return kernel{
		"sys/dev/block/179:3":            "-> " + sd + "/mmcblk0p3",
		sd + "/device/cid":               "1b534d45423151541080fa4d30c30a00",
		sd + "/device/serial":            "0x80fa4d30",
		sd + "/diskseq":                  "4",
		sd + "/dev":                      "179:0",
		sd + "/queue/iostats":            "1",
		sd + "/mmcblk0p3/dev":            "179:3",
		sd + "/mmcblk0p3/partition":      "3",
		sd + "/mmcblk0p3/start":          "1064960",
		sd + "/mmcblk0p3/uevent":         "MAJOR=179\nPARTN=3\nPARTUUID=6c586e13-03",
		sd + "/mmcblk0p3/stat":           "1 2 3 4 50 6 700 8 9 10 11 12",
		"proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555",
		"proc/self/mountinfo":            "",
		"proc/swaps":                     "Filename Type Size Used Priority",
	}
}

// nameless is a card that says nothing of itself.
func nameless() kernel {
	return sdCard().with(kernel{sd + "/device/cid": "", sd + "/device/serial": "", sd + "/mmcblk0p3/uevent": ""})
}

func TestDeviceIsKnownAgain(t *testing.T) {
	const size = 1 << 30
	moved := "sys/devices/mmc_host/mmc1/mmc1:0001/block/mmcblk1"
	inOtherSlot := kernel{}
	for path, text := range sdCard() {
		inOtherSlot[strings.Replace(path, sd, moved, 1)] = strings.Replace(text, sd, moved, 1)
	}
	inOtherSlot[moved+"/diskseq"] = "9"
	for name, tt := range map[string]struct {
		was, now kernel
		size     int64
		want     string // part of the answer; empty: it is the same
	}{
		"nothing changed":                       {sdCard(), sdCard(), size, ""},
		"attached at another place, other boot": {sdCard(), inOtherSlot, size, ""},
		"another card":                          {sdCard(), sdCard().with(kernel{sd + "/device/cid": "ff"}), size, "is on the disk"},
		"smaller":                               {sdCard(), sdCard(), size - 512, "bytes and had"},
		"partitioned anew":                      {sdCard(), sdCard().with(kernel{sd + "/mmcblk0p3/start": "2048"}), size, "is partition 3 at 2048"},
		"another table":                         {sdCard(), sdCard().with(kernel{sd + "/mmcblk0p3/uevent": "PARTUUID=0-03"}), size, "(0-03)"},
		"nameless":                              {nameless(), nameless(), size, ""},
		"nameless, attached anew":               {nameless(), nameless().with(kernel{sd + "/diskseq": "5"}), size, "was attached anew"},
		"nameless, another boot":                {nameless(), nameless().with(kernel{sd + "/diskseq": "5", "proc/sys/kernel/random/boot_id": "2"}), size, ""},
		"nameless and then with a name":         {nameless(), sdCard(), size, "is on the disk"},
	} {
		rdev := unix.Mkdev(179, 3)
		got := tt.was.system(t).Identify(rdev, size).Differs(tt.now.system(t).Identify(rdev, tt.size))
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestWritesAreSeen(t *testing.T) {
	rdev := unix.Mkdev(179, 3)
	before := sdCard().system(t).Writes(rdev)
	if before == "" {
		t.Fatal("nothing is known of the writes")
	}
	for name, tt := range map[string]struct {
		now  kernel
		same bool
	}{
		"a read":           {kernel{sd + "/mmcblk0p3/stat": "9 9 9 9 50 6 700 8 9 10 11 12"}, true},
		"a write":          {kernel{sd + "/mmcblk0p3/stat": "1 2 3 4 51 6 708 8 9 10 11 12"}, false},
		"a discard":        {kernel{sd + "/mmcblk0p3/stat": "1 2 3 4 50 6 700 8 9 10 11 13"}, false},
		"another boot":     {kernel{"proc/sys/kernel/random/boot_id": "2"}, false},
		"attached anew":    {kernel{sd + "/diskseq": "5"}, false},
		"no counts (off)":  {kernel{sd + "/queue/iostats": "0"}, false},
		"no counts (none)": {kernel{sd + "/mmcblk0p3/stat": ""}, false},
	} {
		if now := sdCard().with(tt.now).system(t).Writes(rdev); (now == before) != tt.same {
			t.Errorf("%s: %q, before it %q", name, now, before)
		}
	}
}

func TestHolderIsNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		with  kernel
		minor uint32
		want  string
	}{
		"mounted":                    {kernel{"proc/self/mountinfo": "30 1 179:3 / /mnt/slot\\040b rw - ext4 /dev/mmcblk0p3 rw"}, 3, "mounted at /mnt/slot b"},
		"its disk is mounted":        {kernel{"proc/self/mountinfo": "30 1 179:0 / /data rw - ext4 /dev/mmcblk0 rw"}, 3, "mounted at /data"},
		"its partition is mounted":   {kernel{"proc/self/mountinfo": "30 1 179:3 / /data rw - ext4 /dev/x rw", "sys/dev/block/179:0": "-> " + sd}, 0, "mounted at /data"},
		"device mapper":              {kernel{sd + "/mmcblk0p3/holders/dm-0": "x"}, 3, "used by dm-0"},
		"twice":                      {kernel{sd + "/mmcblk0p3/holders/dm-0": "x", "proc/self/mountinfo": "30 1 179:3 / / rw - ext4 x rw"}, 3, "mounted at /, used by dm-0"},
		"nobody that is seen":        {kernel{}, 3, "another program has it open"},
		"another partition's mounts": {kernel{"proc/self/mountinfo": "30 1 179:2 / /mnt rw - ext4 /dev/mmcblk0p2 rw"}, 3, "another program has it open"},
	} {
		if got := sdCard().with(tt.with).system(t).HolderOf(unix.Mkdev(179, tt.minor)); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
