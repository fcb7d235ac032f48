package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"otad/journal"
	"otad/testdata/otadrun"
)

// board is one otad serve with a state directory of its own.
type board struct {
	dir     string // state directory, log and socket
	process *otadrun.Process
	client  *http.Client
}

// startBoard starts the daemon in a new directory at dir and waits until it
// answers.
func startBoard(program, dir string, flags ...string) (*board, error) {
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	socket := filepath.Join(dir, "api.sock")
	b := &board{dir: dir, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
	cmd := otadrun.Command(program, append([]string{"serve", "-state-dir", filepath.Join(dir, "state"),
		"-listen", "unix:" + socket, "-min-free", "0"}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if b.process, err = otadrun.Start(cmd); err != nil {
		return nil, err
	}
	return b, b.process.Await(20*time.Second, "the daemon answers", func() (bool, error) {
		_, err := os.Stat(socket)
		return err == nil, nil
	})
}

// post gives the board its job.
func (b *board) post(job otadrun.Job) error {
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	resp, err := b.client.Post("http://localhost/api/v1.0/download", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer otadrun.Response
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	return answer.Err()
}

// state returns what the board's journal says.
func (b *board) state() (journal.Record, error) {
	rec, _, err := journal.Peek(filepath.Join(b.dir, "state"))
	return rec, err
}

// wasFailed reports whether the board's log has a failed job.
func (b *board) wasFailed() bool {
	text, err := os.ReadFile(filepath.Join(b.dir, "log"))
	return err == nil && bytes.Contains(text, []byte("to=Failed"))
}

// memory returns the resident memory of the process in bytes: all of it, and what
// it shares with no other process.
func (b *board) memory() (resident, own int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", b.process.Cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(text) {
		var kilobytes int64
		var name string
		if n, _ := fmt.Sscan(string(line), &name, &kilobytes); n < 2 {
			continue
		}
		switch name {
		case "Rss:":
			resident = kilobytes << 10
		case "Private_Clean:", "Private_Dirty:":
			own += kilobytes << 10
		}
	}
	return resident, own
}
