package deviceapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"otad/journal"
)

// field is one key of the body of POST /api/v1.0/download.
type field struct {
	name     string
	into     any    // *string or *int64
	problem  string // what to say when it is of another type
	optional bool
}

func fieldsOf(job *journal.Job) []field {
	return []field{
		{name: "version", into: &job.Version, problem: "is not a string"},
		{name: "package_url", into: &job.URL, problem: "is not a string"},
		{name: "package_name", into: &job.Name, problem: "is not a string"},
		{name: "package_size", into: &job.Size, problem: "is not a whole number"},
		{name: "package_md5", into: &job.MD5, problem: "is not a string"},
		{name: "package_sha256", into: &job.SHA256, problem: "is not a string", optional: true},
	}
}

// decodeDownload reads a job from a request body. Its error is a
// *requestError that names the key, or "body". It is stricter than
// encoding/json, which takes keys in any case, the last of two, and null for
// "leave it as it is": what a client got wrong must not become a job that it
// did not mean. Keys that are not known are passed over, as v1.0 does.
func decodeDownload(body []byte) (journal.Job, error) {
	var job journal.Job
	fields := fieldsOf(&job)
	values, err := objectOf(body, fields)
	if err != nil {
		return journal.Job{}, err
	}
	for _, f := range fields {
		if err := f.set(values[f.name]); err != nil {
			return journal.Job{}, err
		}
	}
	if err := checkDownload(job); err != nil {
		return journal.Job{}, err
	}
	return job, nil
}

// objectOf splits one JSON object into the values of the keys in fields; nil
// stands for a key that is not there.
func objectOf(body []byte, fields []field) (map[string]json.RawMessage, error) {
	// RFC 8259, section 8.1; the decoder would put U+FFFD in place of the rest.
	if !utf8.Valid(body) {
		return nil, &requestError{"body", "is not UTF-8"}
	}
	if !json.Valid(body) { // also what follows the first value
		return nil, &requestError{"body", "is not one JSON value"}
	}
	notObject := &requestError{"body", "is not a JSON object"}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, notObject
	}
	values := make(map[string]json.RawMessage, len(fields))
	for _, f := range fields {
		values[f.name] = nil
	}
	for dec.More() {
		var value json.RawMessage
		token, err := dec.Token()
		if err != nil || dec.Decode(&value) != nil {
			return nil, notObject
		}
		key, _ := token.(string)
		before, known := values[key]
		if before != nil {
			return nil, &requestError{key, "is given twice"}
		}
		if known {
			values[key] = value
		}
	}
	return values, nil
}

// set decodes the value of one field; nil means that the key is not there. The
// optional one may also be null, as clients write that fill in a fixed form.
func (f field) set(value json.RawMessage) error {
	null := string(value) == "null"
	switch {
	case f.optional && (value == nil || null):
		return nil
	case value == nil:
		return &requestError{f.name, "is missing"}
	case null:
		return &requestError{f.name, "is null"}
	case json.Unmarshal(value, f.into) != nil:
		return &requestError{f.name, f.problem}
	}
	// The decoder puts U+FFFD in place of half a surrogate pair.
	if s, ok := f.into.(*string); ok && strings.ContainsRune(*s, utf8.RuneError) {
		return &requestError{f.name, "holds a character that is none (U+FFFD)"}
	}
	return nil
}

// checkDownload is what the API asks of a job beyond [journal.Job.Validate]: at
// the command line more may be left open.
func checkDownload(job journal.Job) error {
	switch {
	case job.Version == "":
		return &requestError{"version", "is missing"}
	case job.Size < 1:
		return &requestError{"package_size", "is less than 1"}
	case job.MD5 == "":
		return &requestError{"package_md5", "is missing"}
	}
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
	}[field.Field]
	if !ok {
		key = string(field.Field) // "version" is the same in both
	}
	return &requestError{key, field.Problem}
}
