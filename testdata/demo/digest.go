package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// checkDigest compares the package with the origin's digest, by a program that is not ours where the system has it.
func checkDigest(ctx context.Context, path, want string) error {
	witness, got, err := "md5sum", "", error(nil)
	if _, missing := exec.LookPath(witness); missing == nil {
		got, err = systemMD5(ctx, path)
	} else {
		witness = "MD5"
		got, err = ownMD5(path)
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s of the package is %s, the origin's %s", witness, got, want)
	}
	say(witness, "%s, as the origin has it", got)
	return nil
}

func systemMD5(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, "md5sum")
	cmd.Stdin = f // so that no file name is in its output
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("md5sum: %w", err)
	}
	digest, _, _ := strings.Cut(string(out), " ")
	return digest, nil
}

func ownMD5(path string) (string, error) {
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
