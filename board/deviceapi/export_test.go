package deviceapi

import "otad/journal"

// DecodeDownload decodes the body of POST /api/v1.0/download.
var DecodeDownload = decodeDownload

// MaxConns is the largest number of open connections of Serve.
const MaxConns = maxConns

// RequestError is the error of DecodeDownload.
type RequestError = requestError

// RequestKeys returns the keys of the body of POST /api/v1.0/download.
func RequestKeys() (names []string) {
	for _, m := range membersOf(new(journal.Job)) {
		names = append(names, m.name)
	}
	return names
}
