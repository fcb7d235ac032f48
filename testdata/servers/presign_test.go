package servers_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"testing"
	"time"
)

// A signer signs URLs for S3 (Signature Version 4, in the query).
type signer struct {
	access, secret, region string
}

// presign returns u signed for a method, valid from at on for lifetime. The
// signature covers the Host header alone.
func (s signer) presign(method string, u url.URL, at time.Time, lifetime time.Duration) string {
	now := at.UTC().Format("20060102T150405Z")
	scope := fmt.Sprintf("%s/%s/s3/aws4_request", now[:8], s.region)
	query := url.Values{
		"X-Amz-Algorithm":     {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential":    {s.access + "/" + scope},
		"X-Amz-Date":          {now},
		"X-Amz-Expires":       {fmt.Sprint(int(lifetime.Seconds()))},
		"X-Amz-SignedHeaders": {"host"},
	}.Encode()
	canonical := fmt.Sprintf("%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", method, u.EscapedPath(), query, u.Host)
	hashed := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{now[:8], s.region, "s3", "aws4_request", fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", now, scope, hashed)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	u.RawQuery = query + "&X-Amz-Signature=" + hex.EncodeToString(key)
	return u.String()
}

// The example in the documentation of Amazon S3: "Authenticating Requests:
// Using Query Parameters".
func TestSignatureIsThatOfTheDocumentation(t *testing.T) {
	s := signer{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"}
	u := url.URL{Scheme: "https", Host: "examplebucket.s3.amazonaws.com", Path: "/test.txt"}
	signed, err := url.Parse(s.presign("GET", u, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC), 24*time.Hour))
	check(t, err)
	const want = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	if got := signed.Query().Get("X-Amz-Signature"); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}
