package installer

import (
	"strings"
	"testing"
)

func TestOutputIsShownLineByLine(t *testing.T) {
	for name, tt := range map[string]struct {
		writes []string
		want   string // joined by |
		last   string
	}{
		"lines":                {[]string{"a\nb\n"}, "a|b", "b"},
		"in pieces":            {[]string{"a", "b\nc", "d\n"}, "ab|cd", "cd"},
		"no line feed at last": {[]string{"a\nb"}, "a|b", "b"},
		"blank lines":          {[]string{"a\n\n  \n"}, "a", "a"},
		"nothing":              {nil, "", ""},
		"a progress bar":       {[]string{"\r10 %\r20 %\rdone\r\n"}, "done", "done"},
		"a terminal's escape":  {[]string{"\x1b[31mred\n"}, `\u001b[31mred`, `\u001b[31mred`},
		"a URL":                {[]string{"get https://u:secret@h/p?secret=1 failed\n"}, "get https://h/p failed", "get https://h/p failed"},
		"quotes":               {[]string{`LastError: "no slot"` + "\n"}, `LastError: "no slot"`, `LastError: "no slot"`},
		"a long line":          {[]string{strings.Repeat("x", 5000) + "\n"}, strings.Repeat("x", maxLine), strings.Repeat("x", maxReason)},
	} {
		var said []string
		o := &output{say: func(line string) { said = append(said, line) }}
		for _, w := range tt.writes {
			if n, err := o.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
		}
		last := o.last()
		if got := strings.Join(said, "|"); got != tt.want || last != tt.last {
			t.Errorf("%s: said %q, last %q; want %q, %q", name, got, last, tt.want, tt.last)
		}
	}
}

func TestOutputIsBoundedAndItsLastLineIsKept(t *testing.T) {
	bytes, lines := 0, 0
	o := &output{say: func(line string) { bytes += len(line); lines++ }}
	for range 10_000 {
		o.Write([]byte("the same again and again\n"))
	}
	o.Write([]byte("the reason\n"))
	if bytes > maxOutput+100 || lines > maxOutput/10 {
		t.Errorf("%d bytes in %d lines were said", bytes, lines)
	}
	if got := o.last(); got != "the reason" {
		t.Errorf("the last line is %q", got)
	}
}
