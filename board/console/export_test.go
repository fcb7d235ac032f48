package console

import "io"

// NewOn makes a bar on anything, as wide as width says.
func NewOn(out io.Writer, width func() int) *Bar { return &Bar{out: out, width: width} }
