// Package model checks otad's protocol with Debian's spin: otad.pml is the model,
// and the tests run over all of its states.
//
//	make test-model
package model

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// check runs spin over all states of the model, and of what is appended to it. It
// returns what the checker printed.
func check(t *testing.T, appended, option string, macros ...string) string {
	t.Helper()
	model, err := os.ReadFile("otad.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "otad.pml"), append(model, appended...), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
		}
		return string(out)
	}
	var define []string
	for _, m := range macros {
		define = append(define, "-D"+m)
	}
	run("spin", append(define, "-a", "otad.pml")...)
	kind, flag, optimize := "-DSAFETY", "-n", "-O2"
	switch option {
	case "cycles":
		kind, flag = "-DNP", "-l"
	case "recorded":
		flag = "-E"      // a run that does not take the next event is none
		optimize = "-O0" // few states: to compile takes longer
	}
	run("gcc", optimize, kind, "-DCOLLAPSE", "-DMEMLIM=3000", "-o", "pan", "pan.c")
	begun := time.Now()
	out := run("./pan", "-m100000", "-n", flag)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "states, stored") || strings.Contains(line, "errors:") {
			t.Logf("%s (%.1f s)", strings.TrimSpace(line), time.Since(begun).Seconds())
		}
	}
	return out
}

// broken returns the assertion that does not hold, "" when all hold.
func broken(t *testing.T, out string) string {
	t.Helper()
	for line := range strings.Lines(out) {
		if why, found := strings.CutPrefix(line, "pan:1: "); found {
			return strings.TrimSpace(why)
		}
	}
	if !strings.Contains(out, "errors: 0") {
		t.Fatalf("not all states were visited:\n%s", out)
	}
	return ""
}

func TestEveryStateKeepsThePromises(t *testing.T) {
	t.Parallel()
	if why := broken(t, check(t, "", "")); why != "" {
		t.Error(why)
	}
}

// A run can always go on, to Ready: no state is without a next one (that is part of
// every check), and none comes again.
func TestEveryRestartFinishes(t *testing.T) {
	t.Parallel()
	if why := broken(t, check(t, "", "cycles", "DEATHS=1")); why != "" {
		t.Error(why)
	}
}

// The bugs of testdata/crashstates, and one that its recordings cannot have. Each
// breaks its own promise.
func TestEveryBugIsFound(t *testing.T) {
	const (
		claimed  = "curDirty"
		reported = "said<="
		state    = "saidState<="
		bound    = "stored<="
		whole    = "final&&"
		journal  = "!(broken)"
	)
	for _, bug := range []struct{ macro, breaks string }{
		{"COMMIT_BEFORE_SYNC", claimed},
		{"NEXT_FIRST", reported}, // commits N+1 before N
		{"REPORT_FIRST", reported},
		{"STORE_TOO_MUCH", bound},
		{"NO_SYNC", claimed},
		{"NO_DIR_SYNC_RENAME", whole},
		{"NO_DIR_SYNC_CREATE", claimed},
		{"JOURNAL_IN_PLACE", journal},
		{"NO_PAGE_SYNC", journal},
		{"NO_META_SYNC", state},
		{"READY_FIRST", whole},
		{"NO_SYNC_AT_OPEN", state},
		{"DIGEST_AHEAD", "3)&7"}, // the digest of other bytes than are claimed
	} {
		t.Run(bug.macro, func(t *testing.T) {
			t.Parallel()
			switch why := broken(t, check(t, "", "", "DEATHS=1", bug.macro)); {
			case why == "":
				t.Error("not found")
			case !strings.Contains(why, bug.breaks):
				t.Errorf("found for another reason than %q: %s", bug.breaks, why)
			}
		})
	}
}

// The model does in some order all that otad did, and in no order what it must not.
func TestRecordedRunIsARunOfTheModel(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct{ disk, journal time.Duration }{{ms, 10 * ms}, {10 * ms, ms}, {5 * ms, 6 * ms}} {
		t.Run(fmt.Sprintf("disk %v, journal %v", tt.disk, tt.journal), func(t *testing.T) {
			t.Parallel()
			events := record(t, tt.disk, tt.journal)
			t.Log(strings.Join(events, " "))
			if !isRun(t, events) {
				t.Error("the model does not do that")
			}
		})
	}
	// What the recorded run did first, and what must not come before that.
	for _, rule := range []struct{ first, then string }{
		{"SYNCED,1", "COMMIT,1"},
		{"COMMITTED,1", "REPORT,1"},
		{"COMMITTED,1", "COMMIT,2"},
		{"COMMITTED,1", "WRITE,3"},
		{"COMMITTED,3", "STATE_DURABLE,2"},
		{"STATE_DURABLE,2", "PUBLISH,0"},
		{"PUBLISH,0", "STATE_DURABLE,3"},
		{"STATE_DURABLE,3", "STATE_REPORTED,3"},
	} {
		t.Run(rule.then+" before "+rule.first, func(t *testing.T) {
			t.Parallel()
			events := record(t, ms, 10*ms)
			from, to := slices.Index(events, rule.then), slices.Index(events, rule.first)
			if to < 0 || from < to {
				t.Fatalf("not what was recorded: %q", events)
			}
			events = slices.Insert(slices.Delete(events, from, from+1), to, rule.then)
			if isRun(t, events) {
				t.Errorf("the model does that too: %q", events)
			}
		})
	}
}

// isRun reports whether the events, in this order, are those of a run of the model.
func isRun(t *testing.T, events []string) bool {
	t.Helper()
	var b strings.Builder
	fmt.Fprint(&b, "\nactive proctype recorded() {\n")
	for _, e := range events {
		fmt.Fprintf(&b, "\tevent?%s;\n", e)
	}
	fmt.Fprint(&b, "\tassert(false) /* the model came here */\n}\n")
	return strings.Contains(broken(t, check(t, b.String(), "recorded", "RECORDED", "DEATHS=0", "TROUBLE=0")), "assertion violated 0")
}
