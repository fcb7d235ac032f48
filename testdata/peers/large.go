package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
)

// wholeSizes are packages that are fetched in one go, to compare with. A heap
// takes some 200 MB of a download to grow up to its first collections.
var wholeSizes = []int64{64e6, 500e6}

// A package that does not fit into 32 bits, and where its download is killed:
// just past the largest offset of a signed and of an unsigned 32-bit number.
const (
	largeSize  = 1<<32 + 3<<20 + 12345
	firstKill  = 1<<31 + 1<<20
	secondKill = 1<<32 + 1<<20
	// The bytes after the second kill would arrive within milliseconds. The origin
	// holds them back until the kill.
	heldBack = 1<<32 + 2<<20
)

// large downloads 4 GiB with each build, killed twice, and returns an error if
// a resume is not exact, the digest is wrong, or the memory is more than that
// of a small package. A build may include a program that runs it, whose memory
// counts too.
func large(s *stage, builds []string) error {
	if len(builds) == 0 {
		builds = s.otad
	}
	if free, need := freeBytes(s.dir), int64(largeSize+64<<20); free < need {
		return fmt.Errorf("%s has %d bytes free, and %d are needed", filepath.Dir(s.dir), free, need)
	}
	big := origintest.Object{Size: largeSize, Seed: 2}
	md5 := big.MD5()
	fmt.Printf("%d bytes, generated on request; md5 %s\n\n", big.Size, md5)
	fmt.Println("| build | bytes of the package | process | requests from | ends at | s | peak RSS MB | / 64 MB | / 500 MB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, build := range builds {
		begun := time.Now()
		at := *s
		at.otad = strings.Fields(build)
		var peaks []float64
		for _, size := range wholeSizes {
			peak, err := at.wholePeak(origintest.Object{Size: size, Seed: 1})
			if err != nil {
				return fmt.Errorf("%s: %w", build, err)
			}
			peaks = append(peaks, peak)
		}
		if err := at.killedTwice(big, md5, peaks); err != nil {
			return fmt.Errorf("%s: %w", build, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", build, time.Since(begun).Seconds())
	}
	fmt.Println("\nEvery resume was exact, and md5sum agrees.")
	return nil
}

func freeBytes(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// generated returns a stage whose package is generated on request.
func (s *stage) generated(object origintest.Object, md5 string, script ...*origintest.Rule) (*stage, *origintest.Origin, error) {
	o, err := origintest.Start(origintest.Config{Object: object, Script: script})
	if err != nil {
		return nil, nil, err
	}
	at := *s
	at.url, at.size, at.md5 = o.URL(), object.Size, md5
	return &at, o, nil
}

// wholePeak returns the peak memory of a download without a kill, the median of
// three.
func (s *stage) wholePeak(object origintest.Object) (float64, error) {
	at, o, err := s.generated(object, object.MD5())
	if err != nil {
		return 0, err
	}
	defer o.Close()
	costs, err := at.alternate(at.contenders()[:1], 3)
	if err != nil {
		return 0, err
	}
	k := costs[nameOtad]
	fmt.Printf("| %s | %d | whole | 0 | %[2]d | %.1f | %.1f | | |\n", s.build(), object.Size, median(k, wall), median(k, rss)/1e6)
	return median(k, rss), nil
}

func (s *stage) build() string { return filepath.Base(s.otad[len(s.otad)-1]) }

// killedTwice downloads the package by three processes: the first two are
// killed.
func (s *stage) killedTwice(object origintest.Object, md5 string, peaks []float64) error {
	at, o, err := s.generated(object, md5, origintest.On(2).StallAt(heldBack))
	if err != nil {
		return err
	}
	defer o.Close()
	dir, err := os.MkdirTemp(s.dir, "large-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var stored int64
	for i, kill := range []int64{firstKill, secondKill, 0} {
		c, err := at.fetchKilled(dir, kill)
		if err != nil {
			return err
		}
		asked := o.Requests()
		if len(asked) != i+1 {
			return fmt.Errorf("%d requests of %d processes", len(asked), i+1)
		}
		from := asked[i].Start
		if from%interval != 0 || from > stored || stored-from > 2*interval {
			return fmt.Errorf("requested from %d with %d bytes stored", from, stored)
		}
		stored = c.stored
		fmt.Printf("| %s | %d | %d of 3 | %d | %d | %.1f | %.1f | %.2f | %.2f |\n",
			s.build(), object.Size, i+1, from, stored, c.wall, c.rss/1e6, c.rss/peaks[0], c.rss/peaks[1])
		if c.rss > 1.1*peaks[1] {
			return fmt.Errorf("the memory grows with the package")
		}
	}
	if faults := o.Misuses(); len(faults) > 0 {
		return fmt.Errorf("%s", strings.Join(faults, "; "))
	}
	return at.checkMD5(dir)
}
