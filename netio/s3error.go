package netio

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
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
	var code, message strings.Builder
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
			}
		}
	}
	return newS3Error(strings.TrimSpace(code.String()), message.String())
}

// isField reports whether path is Error/name or ErrorResponse/Error/name.
func isField(path []string, name string) bool {
	if len(path) > 0 && path[0] == "ErrorResponse" {
		path = path[1:]
	}
	return slices.Equal(path, []string{"Error", name})
}

func newS3Error(code, message string) s3Error {
	if !isCode(code) {
		return s3Error{}
	}
	// ExpiredRequest is the code of Cloudflare R2
	// (https://developers.cloudflare.com/r2/api/error-codes/).
	expired := code == "ExpiredToken" || code == "RequestExpired" || code == "ExpiredRequest" ||
		code == "AccessDenied" && strings.Contains(strings.ToLower(message), "expired")
	return s3Error{code: code, expired: expired}
}

// isCode reports whether s has the form of an S3 error code, so that it can be
// shown.
func isCode(s string) bool {
	isOther := func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, isOther)
}
