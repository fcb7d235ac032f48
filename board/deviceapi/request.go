package deviceapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"otad/journal"
)

// member is one name/value pair of the body of POST /api/v1.0/download (RFC
// 8259, section 4).
type member struct {
	name     string
	into     any    // *string or *int64
	problem  string // of a value of another type
	optional bool
}

func membersOf(job *journal.Job) []member {
	return []member{
		{name: "version", into: &job.Version, problem: "is not a string"},
		{name: "package_url", into: &job.URL, problem: "is not a string"},
		{name: "package_name", into: &job.Name, problem: "is not a string"},
		{name: "package_size", into: &job.Size, problem: "is not a whole number"},
		{name: "package_md5", into: &job.MD5, problem: "is not a string"},
		{name: "package_sha256", into: &job.SHA256, problem: "is not a string", optional: true},
		{name: "output", into: &job.Output, problem: "is not a string", optional: true}, // a name, see outputOf
		{name: "package_signature", into: &job.Signature, problem: "is not a string", optional: true},
		{name: "package_signature_url", into: &job.SignatureURL, problem: "is not a string", optional: true},
	}
}

// decodeDownload decodes the body of a request into a job. Its error is a
// *requestError with the key, or "body". It is stricter than encoding/json,
// which ignores the case of names, takes the last of two equal names, and lets
// null leave a value unset: a client's mistake must not become a job that the
// client did not mean. Unknown members are ignored, as in v1.0.
func decodeDownload(body []byte) (journal.Job, error) {
	var job journal.Job
	members := membersOf(&job)
	values, err := splitObject(body, members)
	if err != nil {
		return journal.Job{}, err
	}
	for _, m := range members {
		if err := m.set(values[m.name]); err != nil {
			return journal.Job{}, err
		}
	}
	if err := checkDownload(job); err != nil {
		return journal.Job{}, err
	}
	return job, nil
}

// splitObject splits one JSON object into the values of members; the value of a
// missing member is nil.
func splitObject(body []byte, members []member) (map[string]json.RawMessage, error) {
	// RFC 8259, section 8.1; the decoder would replace other bytes by U+FFFD.
	if !utf8.Valid(body) {
		return nil, &requestError{"body", "is not UTF-8"}
	}
	if !json.Valid(body) { // for example with more bytes after the first value
		return nil, &requestError{"body", "is not one JSON value"}
	}
	notObject := &requestError{"body", "is not a JSON object"}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, notObject
	}
	values := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		values[m.name] = nil
	}
	for dec.More() {
		var value json.RawMessage
		token, err := dec.Token()
		if err != nil || dec.Decode(&value) != nil {
			return nil, notObject
		}
		name, _ := token.(string)
		earlier, known := values[name]
		if earlier != nil {
			return nil, &requestError{name, "is given twice"}
		}
		if known {
			values[name] = value
		}
	}
	return values, nil
}

// set decodes the value of the member; nil means that it is missing. An
// optional member may also be null, because some clients always send all
// members.
func (m member) set(value json.RawMessage) error {
	null := string(value) == "null"
	switch {
	case m.optional && (value == nil || null):
		return nil
	case value == nil:
		return &requestError{m.name, "is missing"}
	case null:
		return &requestError{m.name, "is null"}
	case json.Unmarshal(value, m.into) != nil:
		return &requestError{m.name, m.problem}
	}
	// The decoder replaces half a surrogate pair by U+FFFD.
	if s, ok := m.into.(*string); ok && strings.ContainsRune(*s, utf8.RuneError) {
		return &requestError{m.name, "holds a character that is none (U+FFFD)"}
	}
	return nil
}

// checkDownload checks the rules of the API beyond [journal.Job.Validate],
// which lets the command line omit more.
func checkDownload(job journal.Job) error {
	switch {
	case job.Version == "":
		return &requestError{"version", "is missing"}
	case job.Size < 1:
		return &requestError{"package_size", "is less than 1"}
	case job.MD5 == "":
		return &requestError{"package_md5", "is missing"}
	}
	job.Output = "" // it is a name yet
	return keyed(job.Validate())
}

// requestError is a key of the request body, or "body" itself, and what is wrong
// with it.
type requestError struct {
	Key     string
	Problem string // completes a sentence that begins with the key
}

func (e *requestError) Error() string { return e.Key + " " + e.Problem }

// keyed returns a *journal.FieldError in err as a *requestError: the API's name
// for the field, and the same problem. It returns any other err unchanged.
func keyed(err error) error {
	var field *journal.FieldError
	if !errors.As(err, &field) {
		return err
	}
	key, ok := map[journal.Field]string{
		journal.FieldURL:    "package_url",
		journal.FieldName:   "package_name",
		journal.FieldSize:   "package_size",
		journal.FieldMD5:    "package_md5",
		journal.FieldSHA256: "package_sha256",

		journal.FieldSignature:    "package_signature",
		journal.FieldSignatureURL: "package_signature_url",
	}[field.Field]
	if !ok {
		key = string(field.Field) // "version" is the same in both
	}
	return &requestError{key, field.Problem}
}
