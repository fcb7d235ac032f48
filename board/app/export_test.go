package app

// FlagError translates the error of a job for the command line.
var FlagError = flagError

// ReadHeader reads a header file.
var ReadHeader = readHeader

// LineOf returns what the progress line shows of a snapshot.
var LineOf = lineOf

// For tests of parts that a daemon shows only over time.
var (
	Listen      = listen
	ReadToken   = readToken
	TakeURL     = takeURL
	Transitions = transitions
)
