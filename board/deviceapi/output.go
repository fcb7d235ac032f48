package deviceapi

// outputOf returns the device that a request names, "" for none. A name that the
// daemon was not given is refused: a request chooses among devices and never names
// one itself.
func (a *api) outputOf(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if a.cfg.Output != nil {
		if device, ok := a.cfg.Output(name); ok {
			return device, nil
		}
	}
	return "", &requestError{"output", "is not one of the names that -output gives to devices"}
}
