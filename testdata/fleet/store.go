package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"otad/testdata/otadrun"
	"otad/testdata/s3"
)

// store is an S3 server on loopback with one package.
type store struct {
	signer  s3.Signer
	object  url.URL
	process *otadrun.Process
	log     string
}

func newStore(dir string, content []byte) (*store, error) {
	program, err := s3.Install(func(text string) { fmt.Println(text) })
	if err != nil {
		return nil, err
	}
	addr, err := otadrun.FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	s := &store{signer: s3.Signer{Access: "testkey", Secret: "testsecret", Region: "eu-central-1"},
		object: url.URL{Scheme: "http", Host: addr, Path: "/packages/u.bin"}, log: filepath.Join(dir, "access.log")}
	data, meta := filepath.Join(dir, "data"), filepath.Join(dir, "metadata")
	for _, d := range []string{filepath.Join(data, "packages"), meta} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	cmd := otadrun.Command(program, "--port", addr, "--region", s.signer.Region, "--quiet", "--access-log", s.log, "posix", "--sidecar", meta, data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.signer.Access, "ROOT_SECRET_KEY="+s.signer.Secret)
	if s.process, err = otadrun.Start(cmd); err != nil {
		return nil, err
	}
	if err := s.process.AwaitListener(addr, time.Minute); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPut, s.signer.Sign(http.MethodPut, s.object, time.Now(), time.Hour), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the S3 server takes no package: %s", resp.Status)
	}
	return s, nil
}

// url returns a URL for one board: each has a signature of its own.
func (s *store) url() string {
	return s.signer.Sign(http.MethodGet, s.object, time.Now(), time.Hour)
}

// requests returns how many requests for the package the store has answered.
func (s *store) requests() int {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte(" s3_GetObject "))
}
