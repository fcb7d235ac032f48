package otadrun

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
)

// FileSize returns the length of a file; -1: there is no such file.
func FileSize(path string) (int64, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return -1, err
	}
	return st.Size(), nil
}

// WritePackage writes a file of size bytes that do not compress, the same for the
// same seed, and returns its MD5.
func WritePackage(path string, size int64, seed string) (string, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	var key [32]byte
	copy(key[:], seed)
	h := md5.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(key), size)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// MD5 returns the digest of a file, in hexadecimal.
func MD5(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// CheckMD5 compares the digest of a file with want. It uses md5sum, which shares
// no code with otad, where the system has it. It returns the name of the method.
func CheckMD5(path, want string) (method string, err error) {
	method = "md5sum"
	out, err := exec.Command("md5sum", path).Output()
	got, _, _ := strings.Cut(string(out), " ")
	if errors.Is(err, exec.ErrNotFound) {
		method = "MD5"
		got, err = MD5(path)
	}
	if err == nil && got != want {
		err = fmt.Errorf("%s of %s is %s instead of %s", method, path, got, want)
	}
	return method, err
}
