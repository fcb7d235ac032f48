package app

import (
	"fmt"
	"log/slog"
	"strings"

	"otad/board/config"
)

const (
	maxToken  = 4096 // bytes of a token file that are read
	goodToken = 16   // characters; a shorter token can be guessed
)

// tokens are the bearer tokens of serve; empty: none.
type tokens struct {
	commands string // that POST and DELETE need
	callback string // of otad's own requests to the callback URL
}

func readTokens(c config.Serve, log *slog.Logger) (t tokens, err error) {
	if t.commands, err = readToken(c.TokenFile, log); err != nil {
		return tokens{}, fmt.Errorf("token file: %w", err)
	}
	if t.callback, err = readToken(c.CallbackTokenFile, log); err != nil {
		return tokens{}, fmt.Errorf("callback token file: %w", err)
	}
	return t, nil
}

// readToken returns the first line of the file, "" for no file. An empty token
// is an error: it would let everybody in. A token that others can set or guess
// is a warning.
func readToken(path string, log *slog.Logger) (string, error) {
	if path == "" {
		return "", nil
	}
	content, st, err := readRegular(path, maxToken)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(content, "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("%s: its first line is empty", path)
	}
	if mode := st.Mode().Perm(); mode&0o022 != 0 {
		log.Warn("others can write the token file: chmod go-w it", "file", path, "mode", fmt.Sprintf("%04o", mode))
	}
	if len(line) < goodToken {
		log.Warn("the token is short enough to be guessed", "file", path, "characters", len(line), "want", goodToken)
	}
	return line, nil
}
