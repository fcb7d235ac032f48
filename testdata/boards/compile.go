package boards

import (
	"context"
	"fmt"

	"otad/testdata/otadrun"
)

// Compile builds the program in folder for an architecture, or for this machine
// when arch is "host", as the Makefile builds otad. The overlay is a file for the
// go command's flag of that name; empty: none.
func Compile(ctx context.Context, arch, out, folder, overlay string) error {
	goarch, ok := map[string]string{"host": "", "amd64": "amd64", "arm64": "arm64", "armhf": "arm"}[arch]
	if !ok {
		return fmt.Errorf("no such board: %s", arch)
	}
	return otadrun.Build{Out: out, Package: folder, Arch: goarch, Overlay: overlay}.Run(ctx)
}
