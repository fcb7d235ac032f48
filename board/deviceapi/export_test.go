package deviceapi

// DecodeDownload is what POST /api/v1.0/download does with its body.
var DecodeDownload = decodeDownload

// MaxConns is how many connections Serve keeps open at a time.
const MaxConns = maxConns

// RequestError is the error of DecodeDownload.
type RequestError = requestError
