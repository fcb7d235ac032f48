package storage

// forget ends the claim to what was written.
func (s *Slot) forget() (err error) {
	if err := s.dir.removeSlotRecord(s.name); err != nil {
		return err
	}
	// A crash here leaves the device as it is, of which nothing is known.
	s.record = slotRecord{}
	s.head, err = s.emptyHead()
	return err
}

// takeBack makes a package that was whole one that is not: a block behind its
// head was lost.
func (s *Slot) takeBack() error {
	head, free := MapBuffer(int(min(headSize, s.record.Size)))
	defer free()
	if _, err := s.device.file.ReadAt(head, 0); err != nil {
		return err
	}
	file, err := s.emptyHead()
	if err != nil {
		return err
	}
	s.head = file
	if _, err = file.WriteAt(head, 0); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return err
	}
	// A crash here leaves the record of a whole package, and a file that counts
	// for nothing.
	r := slotRecord{Device: s.record.Device, ID: s.record.ID}
	if err := s.dir.writeSlotRecord(s.name, r); err != nil {
		return err
	}
	// A crash here leaves a head that the next start zeroes.
	s.record = r
	return s.device.zeroHead()
}

// emptyHead returns NAME.otad-part with nothing in it.
func (s *Slot) emptyHead() (*Partial, error) {
	s.headFull = false
	p, err := s.dir.OpenPartial(s.name)
	if err != nil {
		return nil, err
	}
	size, err := p.Size()
	if err == nil && size > 0 {
		err = p.Truncate(0)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// fillHead makes the file of the head as long as the head, so that what is behind
// it counts.
func (s *Slot) fillHead() error {
	if s.headFull {
		return nil
	}
	size, err := s.head.Size()
	if err == nil && size < headSize {
		s.headWritten = true
		err = s.head.Truncate(headSize)
	}
	s.headFull = err == nil
	return err
}
