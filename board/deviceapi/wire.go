package deviceapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"otad/fsm"
	"otad/netio"
)

// Progress is the data of GET /progress. The first four fields are those of the
// TOP.E v1.0 updater; otad adds the others.
type Progress struct {
	Stage    string  `json:"stage"`    // idle, downloading, verifying, toInstall, installing, rebooting, success or failed
	Progress int     `json:"progress"` // whole percent of the stage, rounded down
	Message  string  `json:"message"`  // one line for a person
	Error    *string `json:"error"`    // "CODE: detail"; null unless failed

	State          string `json:"state"` // of the state machine: Idle, Downloading, ...
	Version        string `json:"version"`
	PackageName    string `json:"package_name"`
	PackageSize    int64  `json:"package_size"`     // bytes; 0 while unknown
	BytesDurable   int64  `json:"bytes_durable"`    // bytes that survive a power cut
	BytesPerSecond int64  `json:"bytes_per_second"` // from the network, over the last seconds
	ETASeconds     *int64 `json:"eta_seconds"`      // rounded up; null while unknown
	Retries        int    `json:"retries"`          // of this job since the process started
	ResumedFrom    int64  `json:"resumed_from"`     // offset from which the process resumed the job

	Tries          int     `json:"tries"`            // in a row that failed
	NextTrySeconds *int64  `json:"next_try_seconds"` // until a failed job is started again, rounded up; null: it is not
	ErrorCode      *string `json:"error_code"`       // of Error; null unless failed
	ErrorReason    *string `json:"error_reason"`     // of Error; null where the code has none
}

// envelope is the body of every reply. Clients look at Code; the HTTP status is
// 200 whenever a handler was reached.
type envelope struct {
	Code     int    `json:"code"`
	Msg      string `json:"msg"`
	Stage    string `json:"stage,omitempty"`    // only of a failed job and of a
	Progress *int   `json:"progress,omitempty"` // 409: v1.0 has both beside Code
	Data     any    `json:"data,omitempty"`
}

// commandData is the data of the reply to a command.
type commandData struct {
	Status string `json:"status"` // the stage after the command
}

// reply is an envelope with its HTTP status.
type reply struct {
	httpStatus int
	body       envelope
}

// success is the reply of a handler that succeeded.
func success(data any) reply {
	return reply{http.StatusOK, envelope{Code: http.StatusOK, Msg: "success", Data: data}}
}

// problem is the reply of a handler that failed: HTTP 200 with the code in the
// body.
func problem(code int, msg string) reply {
	return reply{http.StatusOK, envelope{Code: code, Msg: msg}}
}

// refusal is the reply when no handler was reached, and to clients that look
// only at the HTTP status: the code is the HTTP status too.
func refusal(code int, msg string) reply {
	return reply{code, envelope{Code: code, Msg: msg}}
}

// withStage returns r with the stage and the progress of p beside the code.
func (r reply) withStage(p Progress) reply {
	r.body.Stage, r.body.Progress = p.Stage, &p.Progress
	return r
}

func (r reply) write(w http.ResponseWriter) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // programs and people read it, not browsers
	r.body.Msg = netio.Printable(r.body.Msg)
	if err := enc.Encode(r.body); err != nil {
		panic("deviceapi: an envelope does not encode: " + err.Error()) // plain fields only: impossible
	}
	text := netio.PrintableLines(buf.Bytes())
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.httpStatus != http.StatusOK || r.body.Code == http.StatusTooManyRequests {
		h.Set("Connection", "close") // who is refused keeps no connection
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(r.httpStatus)
	w.Write(text) // an error means that the client has gone
}

// ProgressOf returns the wire form of a snapshot. It may be called from any
// goroutine.
func ProgressOf(s fsm.Snapshot) Progress {
	p := Progress{
		Stage:          stageOf(s),
		Progress:       shownProgress(s.Code, s.Progress),
		Message:        netio.Printable(s.Message),
		Error:          nullIfEmpty(netio.Printable(s.Error)),
		State:          string(s.State),
		Version:        s.Version,
		PackageName:    s.Name,
		PackageSize:    s.Size,
		BytesDurable:   s.Durable,
		BytesPerSecond: s.BytesPerSecond,
		ETASeconds:     wholeSeconds(s.ETA),
		Retries:        s.Retries,
		ResumedFrom:    s.ResumedFrom,
		Tries:          s.Tries,
		ErrorCode:      nullIfEmpty(string(s.Code)),
		ErrorReason:    nullIfEmpty(string(s.Reason)),
	}
	if s.NextTry > 0 {
		p.NextTrySeconds = wholeSeconds(s.NextTry)
	}
	if s.State == fsm.Downloading && s.Message != string(fsm.Downloading) {
		p.BytesPerSecond, p.ETASeconds = 0, nil // it waits: the rate of before says nothing
	}
	return p
}

// shownProgress returns the percentage on the wire of a job that failed with
// code. As in v1.0, a mismatch is found at the end: nothing was left to fetch.
func shownProgress(code fsm.Code, percent int) int {
	switch code {
	case fsm.MD5Mismatch, fsm.SHA256Mismatch, fsm.PackageSizeMismatch:
		return 100
	}
	return percent
}

// stageOf returns the wire name of what s shows.
func stageOf(s fsm.Snapshot) string {
	if s.Stage != "" {
		return string(s.Stage)
	}
	return stageOfState(s.State)
}

// stageOfState returns the wire name of a state. In v1.0 a package that is Ready
// has the name of the next step.
func stageOfState(s fsm.State) string {
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

func nullIfEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// wholeSeconds rounds up; a negative duration is not known and becomes null.
func wholeSeconds(d time.Duration) *int64 {
	if d < 0 {
		return nil
	}
	n := int64((d + time.Second - 1) / time.Second)
	return &n
}
