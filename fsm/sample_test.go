package fsm_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"otad/netio/origintest"
)

// noise is what every sample is a piece of: to make each package's bytes anew
// would take longer than to fetch it.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 24<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// sample is an object of size bytes. Two seeds give two contents, with an ETag
// and a date of their own.
func sample(seed uint64, size int64) origintest.Object {
	at := int64(seed%4096) * 1009 // not a multiple of anything in the code
	return origintest.Object{Bytes: noise()[at : at+size : at+size], ETag: fmt.Sprintf(`"v%d"`, seed),
		LastModified: time.Date(1999, time.January, 1, 0, 0, int(seed%4096), 0, time.UTC)}
}

// sums holds the digests of samples.
var sums sync.Map

type piece struct {
	first *byte
	size  int
}

// md5Sum is o.MD5, computed once.
func md5Sum(o origintest.Object) string {
	if o.Bytes == nil {
		return o.MD5()
	}
	key := piece{&o.Bytes[0], len(o.Bytes)}
	if sum, ok := sums.Load(key); ok {
		return sum.(string)
	}
	sum := o.MD5()
	sums.Store(key, sum)
	return sum
}

func md5Of(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
