// Package storage holds everything that otad does in its state directory,
// except for the journal: the directory and its lock ([StateDir]), the partial
// file NAME.otad-part ([Partial]) with direct writes, its publication under the
// final name, the check and reservation of space ([SpaceError]), and blocks of
// memory outside the Go heap ([MapBuffer]). A package may go straight to a device
// instead ([Slots], [Slot]); README.md in this folder says how.
//
// Only otad's user and root can change what is in the directory; OpenStateDir
// refuses any other. Every name is looked up in the open directory, no symbolic
// link is followed, and what has a name of otad's own but was not made by it is not
// used.
//
// Its invariant is the order of durable steps. A change of names in the
// directory is durable when the call that made it has returned without an
// error. Bytes of a file are durable when [Partial.Sync] has returned without
// an error, and an error of Sync is final. Jobs, checkpoints and the journal
// are no part of this package.
package storage
