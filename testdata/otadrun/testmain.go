package otadrun

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// WithBinary builds otad in a directory of its own, sets path to it, and returns
// what run returns; 1 when it cannot be built. It is the body of a TestMain whose
// tests run the real otad.
func WithBinary(path *string, run func() int) int {
	dir, err := os.MkdirTemp("", "otad-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		*path = filepath.Join(dir, "otad")
		err = Build{Out: *path, KeepPaths: true}.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
