package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The fixed newstyle handshake and the four commands that QEMU needs, as in the
// NBD protocol document (github.com/NetworkBlockDevice/nbd, doc/proto.md). All
// numbers are big-endian.
const (
	nbdMagic         = 0x4e42444d41474943 // "NBDMAGIC"
	nbdOptionMagic   = 0x49484156454f5054 // "IHAVEOPT"
	nbdReplyMagic    = 0x0003e889045565a9
	nbdRequestMagic  = 0x25609513
	nbdResponseMagic = 0x67446698

	nbdFixedNewstyle = 1 << 0
	nbdNoZeroes      = 1 << 1

	nbdOptAbort = 2
	nbdOptGo    = 7

	nbdRepAck         = 1
	nbdRepInfo        = 3
	nbdRepUnsupported = 1<<31 + 1

	nbdHasFlags  = 1 << 0
	nbdSendFlush = 1 << 2
	nbdSendFUA   = 1 << 3

	nbdRead    = 0
	nbdWrite   = 1
	nbdDisc    = 2
	nbdFlush   = 3
	nbdFlagFUA = 1 << 0

	nbdInvalid = 22 // EINVAL
)

// errDisconnect is the regular end of a session.
var errDisconnect = errors.New("nbd: client disconnects")

// serveNBD serves d to one client after another, until the listener is closed.
// When the power fails, the client gets no more responses, because its machine
// has no power either.
func serveNBD(l net.Listener, d *disk) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			s := nbdSession{r: bufio.NewReaderSize(conn, 1<<20), w: bufio.NewWriterSize(conn, 1<<20), disk: d}
			if s.serve() == errNoPower {
				_, _ = io.Copy(io.Discard, conn)
			}
		}()
	}
}

type nbdSession struct {
	r    *bufio.Reader
	w    *bufio.Writer
	disk *disk
}

func (s *nbdSession) serve() error {
	if err := s.handshake(); err != nil {
		return err
	}
	for {
		if err := s.request(); err != nil {
			return err
		}
		if s.r.Buffered() == 0 { // answer a burst of requests at once
			if err := s.w.Flush(); err != nil {
				return err
			}
		}
	}
}

func (s *nbdSession) handshake() error {
	s.put(uint64(nbdMagic), uint64(nbdOptionMagic), uint16(nbdFixedNewstyle|nbdNoZeroes))
	if err := s.w.Flush(); err != nil {
		return err
	}
	var clientFlags uint32
	if err := s.get(&clientFlags); err != nil {
		return err
	}
	for {
		var magic uint64
		var option, length uint32
		if err := s.get(&magic, &option, &length); err != nil {
			return err
		}
		if _, err := s.r.Discard(int(length)); err != nil {
			return err
		}
		switch {
		case magic != nbdOptionMagic:
			return fmt.Errorf("nbd: option magic %#x", magic)
		case option == nbdOptAbort:
			return errDisconnect
		case option == nbdOptGo:
			s.put(uint64(nbdReplyMagic), option, uint32(nbdRepInfo), uint32(12))
			s.put(uint16(0), uint64(s.disk.size()), uint16(nbdHasFlags|nbdSendFlush|nbdSendFUA))
			s.put(uint64(nbdReplyMagic), option, uint32(nbdRepAck), uint32(0))
			return s.w.Flush()
		}
		s.put(uint64(nbdReplyMagic), option, uint32(nbdRepUnsupported), uint32(0))
		if err := s.w.Flush(); err != nil {
			return err
		}
	}
}

func (s *nbdSession) request() error {
	var magic, length uint32
	var flags, command uint16
	var handle, offset uint64
	if err := s.get(&magic, &flags, &command, &handle, &offset, &length); err != nil {
		return err
	}
	if magic != nbdRequestMagic || length > 64<<20 {
		return fmt.Errorf("nbd: request magic %#x, length %d", magic, length)
	}
	var data []byte
	var err error
	switch command {
	case nbdRead:
		data = make([]byte, length)
		err = s.disk.readAt(data, int64(offset))
	case nbdWrite:
		block := make([]byte, length)
		if _, err := io.ReadFull(s.r, block); err != nil {
			return err
		}
		err = s.disk.writeAt(block, int64(offset), flags&nbdFlagFUA != 0)
	case nbdFlush:
		err = s.disk.flush()
	case nbdDisc:
		return errDisconnect
	default:
		s.put(uint32(nbdResponseMagic), uint32(nbdInvalid), handle)
		return nil
	}
	if err != nil {
		return err
	}
	s.put(uint32(nbdResponseMagic), uint32(0), handle)
	_, err = s.w.Write(data)
	return err
}

// put appends numbers to the response; bufio.Writer keeps the first error for
// the Flush that follows.
func (s *nbdSession) put(numbers ...any) {
	for _, n := range numbers {
		_ = binary.Write(s.w, binary.BigEndian, n)
	}
}

func (s *nbdSession) get(numbers ...any) error {
	for _, n := range numbers {
		if err := binary.Read(s.r, binary.BigEndian, n); err != nil {
			return err
		}
	}
	return nil
}
