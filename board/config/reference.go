package config

// Flag describes one flag for the documents that are generated.
type Flag struct {
	Name     string   // without the dash
	Arg      string   // placeholder of the value, "" for a boolean
	Commands []string // that take it
	Default  string   // as markdown, with the commands where they differ; "" for none
	Help     string   // one sentence without a full stop
	Words    []string // all the values it may have, nil for others than a choice
}

// Flags returns the flags of all commands in the order of the help texts. Any
// goroutine may call it.
func Flags() []Flag {
	var flags []Flag
	for _, o := range options(defaults("")) {
		f := Flag{Name: o.name, Arg: o.arg, Commands: o.commands(), Default: defaultCell(o), Help: o.help}
		if c, ok := o.value.(interface{ words() []string }); ok {
			f.Words = c.words()
		}
		flags = append(flags, f)
	}
	return flags
}
