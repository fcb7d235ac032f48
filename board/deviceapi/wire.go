package deviceapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"otad/fsm"
)

// Progress is the data of GET /progress. The first four fields are those of the
// TOP.E v1.0 updater; the rest is otad's own.
type Progress struct {
	Stage    string  `json:"stage"`    // idle, downloading, verifying, toInstall or failed
	Progress int     `json:"progress"` // whole percent of the stage, rounded down
	Message  string  `json:"message"`  // one line for a person
	Error    *string `json:"error"`    // "CODE: detail"; null unless failed

	State          string `json:"state"` // the machine's own name of the stage
	Version        string `json:"version"`
	PackageName    string `json:"package_name"`
	PackageSize    int64  `json:"package_size"`     // bytes; 0: not known yet
	BytesDurable   int64  `json:"bytes_durable"`    // bytes that a power cut cannot take
	BytesPerSecond int64  `json:"bytes_per_second"` // from the network, over the last seconds
	ETASeconds     *int64 `json:"eta_seconds"`      // rounded up; null: not known
	Retries        int    `json:"retries"`          // of this job since the start of the process
	ResumedFrom    int64  `json:"resumed_from"`     // offset at which the process took the job up
}

// envelope is every body this package answers with. The status that counts is
// Code; HTTP says 200 whenever a handler was reached.
type envelope struct {
	Code     int    `json:"code"`
	Msg      string `json:"msg"`
	Stage    string `json:"stage,omitempty"`    // a failed job repeats these two
	Progress *int   `json:"progress,omitempty"` // next to Code, as v1.0 does
	Data     any    `json:"data,omitempty"`
}

// status is the data of the answers to commands.
type status struct {
	Status string `json:"status"`
}

// answer is an envelope with the HTTP status that it travels under.
type answer struct {
	http int
	body envelope
}

// success is the answer of a handler that did what it was asked.
func success(data any) answer {
	return answer{http.StatusOK, envelope{Code: http.StatusOK, Msg: "success", Data: data}}
}

// problem is the answer of a handler that could not: the code is in the body.
func problem(code int, msg string) answer {
	return answer{http.StatusOK, envelope{Code: code, Msg: msg}}
}

// refusal is the answer where no handler was reached, or where a program that
// reads nothing but HTTP has to understand it.
func refusal(code int, msg string) answer {
	return answer{code, envelope{Code: code, Msg: msg}}
}

func (a answer) write(w http.ResponseWriter) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // it is read by programs and people, not by browsers
	if err := enc.Encode(a.body); err != nil {
		panic("deviceapi: an envelope does not encode: " + err.Error()) // plain fields only: impossible
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(a.http)
	w.Write(buf.Bytes()) // an error here is the client that left
}

// ProgressOf is a snapshot as it goes over the wire.
func ProgressOf(s fsm.Snapshot) Progress {
	return Progress{
		Stage:          stage(s.State),
		Progress:       s.Progress,
		Message:        s.Message,
		Error:          failure(s.Error),
		State:          string(s.State),
		Version:        s.Version,
		PackageName:    s.Name,
		PackageSize:    s.Size,
		BytesDurable:   s.Durable,
		BytesPerSecond: s.BytesPerSecond,
		ETASeconds:     seconds(s.ETA),
		Retries:        s.Retries,
		ResumedFrom:    s.ResumedFrom,
	}
}

// stage is the wire name of a state. v1.0 calls a package that is Ready by what
// comes next.
func stage(s fsm.State) string {
	switch s {
	case fsm.Downloading:
		return "downloading"
	case fsm.Verifying:
		return "verifying"
	case fsm.Ready:
		return "toInstall"
	case fsm.Failed:
		return "failed"
	default:
		return "idle"
	}
}

// failure is null on the wire where there is none.
func failure(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func seconds(d time.Duration) *int64 {
	if d < 0 {
		return nil
	}
	n := int64((d + time.Second - 1) / time.Second)
	return &n
}
