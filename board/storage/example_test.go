package storage_test

import (
	"fmt"
	"io"
	"log"
	"os"

	"otad/board/storage"
)

// A package of one block: reserve its space, write it, make it durable, and
// publish it under its final name.
func Example() {
	path, err := os.MkdirTemp("", "otad")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	dir, err := storage.OpenStateDir(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()

	part, err := dir.OpenPartial("update.zip") // update.zip.otad-part
	if err != nil {
		log.Fatal(err)
	}
	defer part.Close()
	block := []byte("package")
	if err := part.Reserve(int64(len(block)), 1<<10); err != nil {
		log.Fatal(err) // a *SpaceError if the package does not fit
	}
	if _, err := part.WriteAt(block, 0); err != nil {
		log.Fatal(err)
	}
	if err := part.Sync(); err != nil {
		log.Fatal(err) // final: the file must be opened again
	}
	// From here on a checkpoint may claim the block.
	if err := part.Publish(0); err != nil {
		log.Fatal(err)
	}

	f, err := dir.Published("update.zip")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	published, err := io.ReadAll(f)
	fmt.Printf("%s %v\n", published, err)
	// Output: package <nil>
}
