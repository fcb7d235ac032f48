// Package board is the machine that otad runs on: the state directory with its
// lock, the package file on its way from NAME.part to NAME, the room that is
// left on the file system, and the init system that started the process.
//
// Its invariant is the order of durable steps. A name is durable when the call
// that made it returns; bytes are durable when [Partial.Sync] returned without
// an error, and an error of it is final. Nothing here knows what a job, a
// checkpoint or a journal is.
//
//	dir, err := storage.OpenStateDir("/var/lib/otad")
//	part, err := dir.OpenPartial("update.zip")  // update.zip.part
//	err = part.Reserve(size, 16<<20)            // or a *SpaceError
//	_, err = part.WriteAt(block, offset)
//	err = part.Sync()                           // now the block may be claimed
//	err = part.Publish()                        // update.zip
package storage
