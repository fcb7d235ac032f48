package netio

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxErrorText is how many bytes of the body of an error response are read.
const maxErrorText = 64 << 10

// s3Error is the body of an error response of S3 and compatible servers:
//
//	<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>
//
// STS wraps this element in <ErrorResponse>. It is zero for any other body.
type s3Error struct {
	code    string // letters and digits only, at most 64
	expired bool   // the signed URL or its token has expired
}

// readS3Error reads an s3Error from the first 64 KiB of r, which may be cut off
// anywhere. The message is only searched for an expiry and never passed on:
// some servers repeat the signed request in it.
func readS3Error(r io.Reader) s3Error {
	d := xml.NewDecoder(io.LimitReader(r, maxErrorText))
	var path []string
	var code, message, azure strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if root := path[0]; root != "Error" && root != "ErrorResponse" {
				return s3Error{}
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			switch {
			case isField(path, "Code"):
				code.Write(t)
			case isField(path, "Message"):
				message.Write(t)
			case isField(path, "AuthenticationErrorDetail"):
				azure.Write(t)
			}
		}
	}
	return newS3Error(strings.TrimSpace(code.String()), message.String(), azure.String())
}

// isField reports whether path is Error/name or ErrorResponse/Error/name.
func isField(path []string, name string) bool {
	if len(path) > 0 && path[0] == "ErrorResponse" {
		path = path[1:]
	}
	return slices.Equal(path, []string{"Error", name})
}

func newS3Error(code, message, azure string) s3Error {
	if !isCode(code) {
		return s3Error{}
	}
	// ExpiredRequest is the code of Cloudflare R2
	// (https://developers.cloudflare.com/r2/api/error-codes/).
	expired := code == "ExpiredToken" || code == "RequestExpired" || code == "ExpiredRequest" ||
		code == "AccessDenied" && strings.Contains(strings.ToLower(message), "expired") ||
		code == "AuthenticationFailed" && azureExpired(azure)
	return s3Error{code: code, expired: expired}
}

// azureExpired reports whether the detail of Azure's error is about a SAS that
// has expired. Its two forms are for a SAS with a start and for one without:
//
//	Signature not valid in the specified time frame: Start [T] - Expiry [T] - Current [T]
//	Signed expiry time [T] must be after signed start time [T]
//
// The first one is also used before the start.
func azureExpired(detail string) bool {
	if strings.Contains(detail, "Signed expiry time [") {
		return true
	}
	at := func(name string) (time.Time, bool) {
		_, rest, _ := strings.Cut(detail, name+" [")
		text, _, _ := strings.Cut(rest, "]")
		t, err := http.ParseTime(text)
		return t, err == nil
	}
	expiry, ok := at("Expiry")
	current, ok2 := at("Current")
	return ok && ok2 && !current.Before(expiry)
}

// cloudFrontExpired reports whether the request of resp was for a URL signed for
// CloudFront that has ended by the server's own clock. CloudFront's text is the
// same for all signatures that it refuses.
func cloudFrontExpired(resp *http.Response) bool {
	end, ok := cloudFrontEnd(resp.Request.URL.Query())
	sent, err := http.ParseTime(resp.Header.Get("Date"))
	return ok && err == nil && sent.Unix() >= end
}

// cloudFrontEnd returns the end of a signature in Unix seconds. A canned policy
// has it in the query, a custom one in its JSON.
func cloudFrontEnd(query url.Values) (int64, bool) {
	if !query.Has("Key-Pair-Id") {
		return 0, false
	}
	if !query.Has("Policy") {
		return parseDigits(query.Get("Expires"))
	}
	encoded := strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(query.Get("Policy"))
	text, _ := base64.StdEncoding.DecodeString(encoded) // damaged: no JSON either
	var policy struct {
		Statement []struct {
			Condition struct{ DateLessThan map[string]int64 }
		}
	}
	if json.Unmarshal(text, &policy) != nil || len(policy.Statement) != 1 {
		return 0, false
	}
	end, ok := policy.Statement[0].Condition.DateLessThan["AWS:EpochTime"]
	return end, ok
}

// isCode reports whether s has the form of an S3 error code, so that it can be
// shown.
func isCode(s string) bool {
	isOther := func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, isOther)
}
