package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every value in the file is stored with a version and a checksum, because
// bbolt has checksums on its meta pages only:
//
//	1 byte   version
//	4 bytes  CRC-32C, big-endian
//	n bytes  body
//
// The checksum of version 1 covers the body. That of a later version covers
// the version byte and the body, so a version byte that is damaged is never
// read as a later version.
const headerSize = 1 + 4

var errDamaged = errors.New("damaged")

// appendChecksum appends the stored form of body to b and returns the longer
// slice.
func appendChecksum(b []byte, version byte, body []byte) []byte {
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, checksum(version, body))
	return append(b, body...)
}

// verifyChecksum returns the version and the body of a stored value.
func verifyChecksum(b []byte) (version byte, body []byte, err error) {
	if len(b) < headerSize {
		return 0, nil, fmt.Errorf("%w: %d bytes", errDamaged, len(b))
	}
	version, body = b[0], b[headerSize:]
	if version == 0 {
		return 0, nil, fmt.Errorf("%w: version 0", errDamaged)
	}
	if binary.BigEndian.Uint32(b[1:]) != checksum(version, body) {
		return 0, nil, fmt.Errorf("%w: version %d, checksum does not match", errDamaged, version)
	}
	return version, body, nil
}

// checksum returns the CRC-32C (RFC 3720, appendix B.4). Most processors have
// an instruction for it, and it finds every burst of errors up to 32 bits long.
func checksum(version byte, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	if version > 1 {
		sum = crc32.Checksum([]byte{version}, table)
	}
	return crc32.Update(sum, table, body)
}
