package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"

	"otad/testdata/otadrun"
)

// contender is a way to download the package, or a lower bound of all of them.
type contender struct {
	name   string
	cmds   func(dir string) []*exec.Cmd
	parent string // of dir; empty: the stage's, on a real disk
}

// The contenders that others are compared with.
const (
	nameOtad  = "otad fetch"
	nameHash  = "md5sum (hashing alone)"
	nameCurls = "curl -o f && md5sum f"
	nameLink  = "curl -o /dev/null (link alone)"
	namePipe  = "curl | md5sum (nothing stored)"
	nameSides = "md5sum, and curl -o /dev/null beside it"
	nameTmpfs = "otad fetch on tmpfs (no disk)"
	nameFloor = "write and sync each MiB (write floor)"
)

func (s *stage) contenders() []contender {
	url, ca := s.url, s.ca
	curl, wget, aria := "curl -sS", "wget -q", "aria2c -q --file-allocation=none"
	if ca != "" {
		curl += " --cacert " + ca
		wget += " --ca-certificate " + ca
		aria += " --ca-certificate " + ca
	}
	shell := func(format string, args ...any) func(string) []*exec.Cmd {
		script := fmt.Sprintf(format, args...)
		return func(dir string) []*exec.Cmd {
			cmd := otadrun.Command("sh", "-ec", script)
			cmd.Dir = dir
			cmd.Stderr = os.Stderr
			return []*exec.Cmd{cmd}
		}
	}
	return []contender{
		{name: nameOtad, cmds: func(dir string) []*exec.Cmd { return []*exec.Cmd{s.fetch(dir)} }},
		{name: nameHash, cmds: shell("exec md5sum %s", s.file)},
		{name: nameCurls, cmds: shell("%s -o f %s; md5sum f", curl, url)},
		{name: nameTmpfs, cmds: func(dir string) []*exec.Cmd { return []*exec.Cmd{s.fetch(dir)} }, parent: memoryDir()},
		{name: nameFloor, cmds: func(dir string) []*exec.Cmd { return floorProcess(dir, s.size) }},
		{name: nameSides, cmds: shell("md5sum %s & %s -o /dev/null %s; wait $!", s.file, curl, url)},
		{name: namePipe, cmds: shell("%s %s | md5sum", curl, url)},
		{name: "curl | tee f | md5sum", cmds: shell("%s %s | tee f | md5sum", curl, url)},
		// As durable as otad's bytes, but for the name and the offset.
		{name: "curl | dd oflag=direct,dsync && md5sum", cmds: shell("%s %s | dd of=f bs=1M iflag=fullblock oflag=direct,dsync status=none; md5sum f", curl, url)},
		{name: "python3-httpx, streaming", cmds: func(dir string) []*exec.Cmd {
			cmd := otadrun.Command("/usr/bin/python3", "-c", httpx, url, ca) // Debian's, which has httpx
			cmd.Dir, cmd.Stderr = dir, os.Stderr
			return []*exec.Cmd{cmd}
		}},
		{name: "wget && md5sum", cmds: shell("%s -O f %s; md5sum f", wget, url)},
		{name: "aria2c --checksum", cmds: shell("%s --checksum=md5=%s -d . -o f %s", aria, s.md5, url)},
		{name: nameLink, cmds: shell("%s -o /dev/null %s", curl, url)},
	}
}

// httpx is a download as it is often written: it streams to the file and the
// digest, and at a resume it hashes the file again. Nothing is synced.
const httpx = `
import hashlib, os, sys, httpx
url, ca = sys.argv[1], sys.argv[2] or True
digest, have = hashlib.md5(), 0
if os.path.exists("f"):
    with open("f", "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
            have += len(block)
with open("f", "ab") as f, httpx.stream("GET", url, verify=ca, headers={"Range": f"bytes={have}-"}) as answer:
    answer.raise_for_status()
    for block in answer.iter_bytes(1 << 20):
        f.write(block)
        digest.update(block)
print(digest.hexdigest())
`

// bench prints the costs of each contender.
func bench(s *stage, rounds int) error {
	contenders := s.contenders()
	costs, err := s.alternate(contenders, rounds)
	if err != nil {
		return err
	}
	link := "plain HTTP"
	if s.ca != "" {
		link = "TLS"
	}
	fmt.Printf("\n%d bytes from nginx on loopback, %s; medians of %d alternating rounds, and the best round over hashing's best.\n\n", s.size, link, rounds)
	fmt.Println("| | wall s | / hashing | best / best | CPU s | / (curl + md5sum) | peak RSS MB | written / size |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	hash, curls := costs[nameHash], costs[nameCurls]
	for _, c := range contenders {
		k := costs[c.name]
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.3f |\n", strings.ReplaceAll(c.name, "|", `\|`),
			median(k, wall), ratio(k, hash, wall), best(k)/best(hash),
			median(k, cpu), ratio(k, curls, cpu), median(k, rss)/1e6, median(k, written)/float64(s.size))
	}
	fmt.Printf("\nAgainst the limits of this machine, within each round:\n\n%s\notad makes %s.\n", limits(costs), s.syncs())
	return nil
}

// The guard's limits, on what each contender took in its best round: noise only adds
// time, to those that otad is compared with as well, so the best of several rounds
// are compared. The values when the limits were chosen are in brackets.
const (
	maxProcessor   = 1.3  // wall time without a disk over hashing beside receiving (1.0)
	maxDurability  = 1.3  // wall time over the slower of that and the disk alone (1.1)
	maxWallOfCurls = 1.0  // wall time without a disk over curl && md5sum, which syncs nothing (0.7)
	maxCPUOfCurls  = 1.0  // CPU over curl + md5sum (0.7)
	maxRSS         = 20e6 // bytes (18.5 MB)
)

// guard returns an error if otad has become much slower or larger, compared
// with the limits of the machine that runs, and with other programs, in the same run
// and never by time alone.
func guard(s *stage) error {
	costs, err := s.alternate(s.contenders()[:6], 7)
	if err != nil {
		return err
	}
	otad, curls := costs[nameOtad], costs[nameCurls]
	failed := false
	for _, g := range []struct {
		what         string
		value, limit float64
	}{
		{"wall on tmpfs / hashing beside curl", least(costs[nameTmpfs], wall) / least(costs[nameSides], wall), maxProcessor},
		{"wall / max(on tmpfs, write floor)", least(otad, wall) / max(least(costs[nameTmpfs], wall), least(costs[nameFloor], wall)), maxDurability},
		{"wall on tmpfs / (curl && md5sum)", least(costs[nameTmpfs], wall) / least(curls, wall), maxWallOfCurls},
		{"CPU / (curl + md5sum)", least(otad, cpu) / least(curls, cpu), maxCPUOfCurls},
		{"peak RSS, MB", median(otad, rss) / 1e6, maxRSS / 1e6},
	} {
		fmt.Printf("%-36s %5.2f, limit %5.2f\n", g.what, g.value, g.limit)
		failed = failed || g.value > g.limit
	}
	if failed {
		return fmt.Errorf("slower or larger than it was")
	}
	return nil
}

// alternate runs the contenders in turn, so that a drift of the machine's speed
// affects all of them. Each round has its own order: the effects of one
// contender on the next, such as a disk that is busy with the deletion of a
// large file, do not always hit the same one.
func (s *stage) alternate(contenders []contender, rounds int) (map[string][]cost, error) {
	costs := map[string][]cost{}
	for range rounds {
		for _, i := range rand.Perm(len(contenders)) {
			c := contenders[i]
			dir, err := os.MkdirTemp(cmp.Or(c.parent, s.dir), "otad-run-")
			if err != nil {
				return nil, err
			}
			k, err := s.measure(c.cmds(dir))
			os.RemoveAll(dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			costs[c.name] = append(costs[c.name], k)
		}
	}
	return costs, nil
}

// syncs counts the syncs of one run of otad under strace.
func (s *stage) syncs() string {
	dir, err := os.MkdirTemp(s.dir, "strace-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	run := s.fetch(dir)
	log := dir + ".log"
	cmd := otadrun.Command("strace", append([]string{"-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync"}, run.Args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("syncs not counted: %v %s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	n := strings.Count(string(text), "sync(")
	return fmt.Sprintf("%d syncs, %.2f a MiB", n, float64(n)/(float64(s.size)/(1<<20)))
}

func wall(k cost) float64    { return k.wall }
func cpu(k cost) float64     { return k.cpu }
func rss(k cost) float64     { return k.rss }
func written(k cost) float64 { return k.written }

func median(costs []cost, of func(cost) float64) float64 {
	v := make([]float64, len(costs))
	for i, c := range costs {
		v[i] = of(c)
	}
	return middle(v)
}

// ratio is the median of the ratios round by round.
func ratio(a, b []cost, of func(cost) float64) float64 { return middle(ratios(a, b, of)) }

func ratios(a, b []cost, of func(cost) float64) []float64 {
	v := make([]float64, len(a))
	for i := range a {
		v[i] = of(a[i]) / of(b[i])
	}
	return v
}

// best returns the wall time of the fastest round.
func best(costs []cost) float64 { return least(costs, wall) }

// least returns the smallest value of all rounds.
func least(costs []cost, of func(cost) float64) float64 {
	return of(slices.MinFunc(costs, func(a, b cost) int { return cmp.Compare(of(a), of(b)) }))
}

// middle is the median of v, which it sorts.
func middle[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
