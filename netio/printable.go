package netio

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable returns text in printable ASCII: every other character as JSON
// escapes it, \u001b or \ud83d\ude00, and bytes that are not UTF-8 as \ufffd. It
// is for all that is shown to a person: texts of servers, file names and journals
// may have characters that a terminal executes, that end a line of a log, or that
// turn or hide a part of it.
//
// Printable may be called from any goroutine.
func Printable(text string) string {
	if isPrintable(text, ' ') {
		return text
	}
	return string(appendPrintable(make([]byte, 0, 2*len(text)), text, ' '))
}

// PrintableLines is Printable for whole lines, whose line feeds stay. JSON is the
// same JSON afterwards: outside of its strings there is only ASCII.
func PrintableLines(lines []byte) []byte {
	if text := string(lines); !isPrintable(text, '\n') {
		return appendPrintable(make([]byte, 0, 2*len(lines)), text, '\n')
	}
	return lines
}

func isPrintable(text string, allowed byte) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && c != allowed {
			return false
		}
	}
	return true
}

func appendPrintable(b []byte, text string, allowed rune) []byte {
	for _, r := range text {
		switch {
		case ' ' <= r && r <= '~' || r == allowed:
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}
