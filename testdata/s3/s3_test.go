package s3_test

import (
	"net/url"
	"testing"
	"time"

	"otad/testdata/s3"
)

// The example in the documentation of Amazon S3: "Authenticating Requests:
// Using Query Parameters".
func TestSignatureIsThatOfTheDocumentation(t *testing.T) {
	s := s3.Signer{Access: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}
	u := url.URL{Scheme: "https", Host: "examplebucket.s3.amazonaws.com", Path: "/test.txt"}
	signed, err := url.Parse(s.Sign("GET", u, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC), 24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	const want = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	if got := signed.Query().Get("X-Amz-Signature"); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}
