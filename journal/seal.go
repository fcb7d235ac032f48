package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every value in the file is sealed, for bbolt has checksums on its meta pages
// only: a version byte, the CRC-32C of the body in big-endian order, the body.
const sealSize = 1 + 4

var errSeal = errors.New("damaged")

// seal fills in the first sealSize bytes of b.
func seal(b []byte, version byte) {
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], checksum(b[sealSize:]))
}

// unseal returns the body of b.
func unseal(b []byte, version byte) ([]byte, error) {
	switch {
	case len(b) < sealSize:
		return nil, fmt.Errorf("%w: %d bytes", errSeal, len(b))
	case b[0] != version:
		return nil, fmt.Errorf("%w: version %d, this program knows %d", errSeal, b[0], version)
	case binary.BigEndian.Uint32(b[1:]) != checksum(b[sealSize:]):
		return nil, fmt.Errorf("%w: checksum does not match", errSeal)
	}
	return b[sealSize:], nil
}

// checksum is CRC-32C (RFC 3720, appendix B.4), which most processors compute
// by themselves and which finds every error burst of up to 32 bits.
func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}
