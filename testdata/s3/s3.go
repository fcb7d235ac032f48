// Package s3 has an S3 server for the rigs, and signs URLs for it.
package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"otad/testdata/otadrun"
)

const (
	gateway = "github.com/versity/versitygw/cmd/versitygw"
	// Version is that of the server.
	Version = "v1.8.0"
)

// Install returns the path of the server. It is built once, which takes minutes,
// and kept in the user's cache; note is then called with a line that says so.
func Install(note func(string)) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "otad-servers", Version)
	program := filepath.Join(bin, "versitygw")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	note(fmt.Sprintf("building %s@%s, which takes minutes", gateway, Version))
	cmd := otadrun.Command("go", "install", "-trimpath", gateway+"@"+Version)
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", gateway, err, output)
	}
	return program, nil
}

// A Signer signs URLs for S3 (Signature Version 4, in the query).
type Signer struct {
	Access, Secret, Region string
}

// Sign returns u signed for a method, valid from at on for lifetime. The signature
// covers the Host header alone.
func (s Signer) Sign(method string, u url.URL, at time.Time, lifetime time.Duration) string {
	now := at.UTC().Format("20060102T150405Z")
	scope := fmt.Sprintf("%s/%s/s3/aws4_request", now[:8], s.Region)
	query := url.Values{
		"X-Amz-Algorithm":     {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential":    {s.Access + "/" + scope},
		"X-Amz-Date":          {now},
		"X-Amz-Expires":       {fmt.Sprint(int(lifetime.Seconds()))},
		"X-Amz-SignedHeaders": {"host"},
	}.Encode()
	canonical := fmt.Sprintf("%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", method, u.EscapedPath(), query, u.Host)
	hashed := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + s.Secret)
	for _, part := range []string{now[:8], s.Region, "s3", "aws4_request", fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", now, scope, hashed)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	u.RawQuery = query + "&X-Amz-Signature=" + hex.EncodeToString(key)
	return u.String()
}
