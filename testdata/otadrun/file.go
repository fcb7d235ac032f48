package otadrun

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
func CheckMD5(ctx context.Context, path, want string) (method string, err error) {
	var got string
	if program, missing := exec.LookPath("md5sum"); missing == nil {
		method = "md5sum"
		got, err = systemMD5(ctx, program, path)
	} else {
		method = "MD5"
		got, err = MD5(path)
	}
	if err == nil && got != want {
		err = fmt.Errorf("%s of %s is %s instead of %s", method, path, got, want)
	}
	return method, err
}

func systemMD5(ctx context.Context, program, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdin = f // a file name could contain characters that md5sum escapes
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("md5sum: %w", err)
	}
	digest, _, _ := strings.Cut(string(out), " ")
	return digest, nil
}
