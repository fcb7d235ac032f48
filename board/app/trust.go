package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"otad/board/config"
	"otad/fsm"
	"otad/hashing/signature"
	"otad/journal"
)

// maxKeyFile is in bytes: enough for every key that may be trusted, with comments.
const maxKeyFile = 64 << 10

// readTrust reads the files of trusted keys, and the lowest version where that is
// in a file. Its errors show no part of a file.
func readTrust(cfg *config.Config) (signature.Trust, error) {
	var trust signature.Trust
	var lists [][]signature.Key
	for _, path := range cfg.TrustedKeys {
		keys, err := readKeys(path)
		if err != nil {
			return trust, fmt.Errorf("-trusted-key: %w", err)
		}
		lists = append(lists, keys)
	}
	var err error
	if trust.Keys, err = signature.Join(lists...); err != nil {
		return trust, fmt.Errorf("-trusted-key: %w", err)
	}
	if trust.MinVersion, err = readMinVersion(cfg.MinVersion); err != nil {
		return trust, fmt.Errorf("-min-version: %w", err)
	}
	return trust, nil
}

func readKeys(path string) ([]signature.Key, error) {
	text, st, err := readRegular(path, maxKeyFile+1)
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("%s is longer than 64 KiB", path)
	case st.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("everybody can change %s, and so choose whom otad trusts: chmod o-w the file", path)
	}
	keys, err := signature.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// readMinVersion returns a version as it is, and that of a file after an @.
func readMinVersion(value string) (string, error) {
	path, inFile := strings.CutPrefix(value, "@")
	if !inFile {
		return value, nil
	}
	text, _, err := readRegular(path, 2*journal.MaxVersion)
	if err != nil {
		return "", err
	}
	version := strings.TrimSpace(text)
	if problem := journal.VersionProblem(version); problem != "" {
		return "", fmt.Errorf("%s holds a version that %s", path, problem)
	}
	return version, nil
}

// trusts is the trust of the machine. A reload replaces it.
func (s *services) trusts() signature.Trust { return *s.trust.Load() }

// replaceTrust has the machine judge by another trust, if it is another one.
func (s *services) replaceTrust(ctx context.Context, trust signature.Trust) error {
	if reflect.DeepEqual(trust, s.trusts()) {
		return nil
	}
	s.trust.Store(&trust)
	logTrust(s.log, trust)
	return s.updater.Recheck(ctx)
}

func logTrust(log *slog.Logger, trust signature.Trust) {
	var ids []string
	for _, k := range trust.Keys {
		ids = append(ids, string(k.ID))
	}
	if trust.MinVersion != "" {
		log = log.With("min_version", trust.MinVersion)
	}
	if len(ids) > 0 {
		log.Info("packages need a signature", "trusted_keys", strings.Join(ids, " "))
	}
}

// takeSignature puts the signature of the command line into the job: the text of a
// file, or a URL. A job without a digest gets that of a signature that is valid.
func takeSignature(f *config.Fetch, trust signature.Trust) error {
	if strings.Contains(f.Signature, "://") {
		f.Job.SignatureURL = f.Signature
		return nil
	}
	if f.Signature == "" {
		return nil
	}
	text, _, err := readRegular(f.Signature, signature.Max+1)
	if err == nil && len(text) > signature.Max {
		err = fmt.Errorf("%s is longer than a signature", f.Signature)
	}
	if err == nil && strings.TrimSpace(text) == "" {
		err = fmt.Errorf("%s is empty", f.Signature)
	}
	if err != nil {
		return fmt.Errorf("-signature: %w", err)
	}
	f.Job.Signature = text
	if f.Job.MD5 == "" && f.Job.SHA256 == "" {
		signed, err := trust.Judge(text)
		if refused := (*signature.Error)(nil); errors.As(err, &refused) {
			return fsm.RefusedSignature(refused)
		}
		f.Job.SHA256 = signed.SHA256
	}
	return nil
}
