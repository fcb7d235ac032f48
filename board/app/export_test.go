package app

// FlagError translates the error of a job for the command line.
var FlagError = flagError
