package console

import "io"

// NewOn returns a bar that writes to out and reads the width from width.
func NewOn(out io.Writer, width func() int) *Bar { return &Bar{out: out, width: width} }
