// Package main is a file that `peers memory` adds to otad's package main, in a
// build of its own (go build -overlay): only the runtime knows the contents of its
// heap, and the product must not have such an interface.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"unsafe"
)

// An init function, because nothing in main calls this file.
func init() {
	if os.Getenv("ANSWERS_ABOUT_MEMORY") != "" {
		go answer(os.NewFile(3, "questions"), os.NewFile(4, "answers"))
	}
}

// answer writes the uses of the runtime's memory for each m, and the heap that was
// live at the last collection by allocating function for each p: lines of a name
// and a number, and an empty line at the end.
func answer(questions io.Reader, answers io.Writer) {
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		if d.Kind == metrics.KindUint64 && (strings.HasPrefix(d.Name, "/memory/classes/") || d.Name == "/gc/heap/live:bytes") {
			samples = append(samples, metrics.Sample{Name: d.Name})
		}
	}
	out, question := bufio.NewWriterSize(answers, 64<<10), make([]byte, 1)
	for {
		if _, err := questions.Read(question); err != nil {
			return
		}
		if question[0] == 'p' {
			for name, bytes := range alive() {
				fmt.Fprintln(out, name, bytes)
			}
		} else {
			metrics.Read(samples)
			for _, s := range samples {
				fmt.Fprintln(out, s.Name, s.Value.Uint64())
			}
			fmt.Fprintln(out, "arena", uintptr(unsafe.Pointer(&samples[0]))) // an address on the heap
		}
		fmt.Fprintln(out)
		out.Flush()
	}
}

// alive adds up the live heap by allocating function: the innermost function of
// otad, or else the innermost package other than the runtime.
func alive() map[string]int64 {
	records := make([]runtime.MemProfileRecord, 20000)
	n, _ := runtime.MemProfile(records, false)
	sums := map[string]int64{}
	for _, r := range records[:n] {
		sums[owner(r.Stack())] += r.InUseBytes()
	}
	delete(sums, "main") // these records
	return sums
}

func owner(stack []uintptr) string {
	pkg := "runtime"
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "otad/") {
			return f.Function
		}
		dir := f.Function[:strings.LastIndex(f.Function, "/")+1]
		name, _, _ := strings.Cut(f.Function[len(dir):], ".")
		if pkg == "runtime" && !strings.HasPrefix(dir+name, "internal/") && !strings.HasPrefix(dir+name, "runtime/") {
			pkg = dir + name
		}
		if !more {
			return pkg
		}
	}
}
