package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// contender is a way to get the package, or a lower bound of all of them.
type contender struct {
	name string
	cmds func(dir string) []*exec.Cmd
}

// The contenders that others are compared with.
const (
	nameOtad  = "otad fetch"
	nameHash  = "md5sum (hashing alone)"
	nameCurls = "curl -o f && md5sum f"
)

func (s *stage) contenders() []contender {
	url, ca := s.origin.url, s.origin.ca
	curl, wget, aria := "curl -sS", "wget -q", "aria2c -q --file-allocation=none"
	if ca != "" {
		curl += " --cacert " + ca
		wget += " --ca-certificate " + ca
		aria += " --ca-certificate " + ca
	}
	shell := func(format string, args ...any) func(string) []*exec.Cmd {
		script := fmt.Sprintf(format, args...)
		return func(dir string) []*exec.Cmd {
			cmd := child("sh", "-ec", script)
			cmd.Dir = dir
			cmd.Stderr = os.Stderr
			return []*exec.Cmd{cmd}
		}
	}
	return []contender{
		{nameOtad, func(dir string) []*exec.Cmd { return []*exec.Cmd{s.fetch(dir)} }},
		{nameHash, shell("exec md5sum %s", s.file)},
		{nameCurls, shell("%s -o f %s; md5sum f", curl, url)},
		{"curl | tee f | md5sum", shell("%s %s | tee f | md5sum", curl, url)},
		{"wget && md5sum", shell("%s -O f %s; md5sum f", wget, url)},
		{"aria2c --checksum", shell("%s --checksum=md5=%s -d . -o f %s", aria, s.md5, url)},
		{"curl -o /dev/null (link alone)", shell("%s -o /dev/null %s", curl, url)},
		{"dd oflag=dsync bs=1M (disk alone)", shell("exec dd if=%s of=f bs=1M oflag=dsync status=none", s.file)},
	}
}

// bench prints what each contender costs.
func bench(s *stage, rounds int) error {
	contenders := s.contenders()
	costs, err := s.alternate(contenders, rounds)
	if err != nil {
		return err
	}
	link := "plain HTTP"
	if s.origin.ca != "" {
		link = "TLS"
	}
	fmt.Printf("\n%d bytes from nginx on loopback, %s; medians of %d alternating rounds.\n\n", s.size, link, rounds)
	fmt.Println("| | wall s | / hashing | CPU s | / (curl + md5sum) | peak RSS MB | written / size |")
	fmt.Println("|---|---|---|---|---|---|---|")
	hash, curls := costs[nameHash], costs[nameCurls]
	for _, c := range contenders {
		k := costs[c.name]
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f | %.1f | %.3f |\n", c.name, median(k, wall), ratio(k, hash, wall),
			median(k, cpu), ratio(k, curls, cpu), median(k, rss)/1e6, median(k, written)/float64(s.size))
	}
	fmt.Printf("\notad: wall %.2f x hashing alone, %.2f x curl && md5sum; CPU %.2f x curl + md5sum; %s.\n", ratio(costs[nameOtad], hash, wall),
		ratio(costs[nameOtad], curls, wall), ratio(costs[nameOtad], curls, cpu), s.syncs())
	return nil
}

// guard fails where a ratio within one run is far from what it was when it was
// chosen: twice the bars, because machines are noisy and a guard that cries
// wolf is switched off.
func guard(s *stage) error {
	all := s.contenders()
	costs, err := s.alternate(all[:3], 5)
	if err != nil {
		return err
	}
	otad, curls := costs[nameOtad], costs[nameCurls]
	fmt.Printf("otad / (curl && md5sum): wall %.2f, CPU %.2f; peak RSS %.1f MB\n", ratio(otad, curls, wall), ratio(otad, curls, cpu), median(otad, rss)/1e6)
	if w, c, m := ratio(otad, curls, wall), ratio(otad, curls, cpu), median(otad, rss); w > 2 || c > 2 || m > 24e6 {
		return fmt.Errorf("slower or larger than it was: limits are 2, 2 and 24 MB")
	}
	return nil
}

// alternate lets the contenders take turns, so that a machine whose speed drifts
// is as unfair to one as to the other.
func (s *stage) alternate(contenders []contender, rounds int) (map[string][]cost, error) {
	costs := map[string][]cost{}
	for range rounds {
		for _, c := range contenders {
			dir, err := os.MkdirTemp(s.dir, "run-")
			if err != nil {
				return nil, err
			}
			k, err := measure(c.cmds(dir))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			costs[c.name] = append(costs[c.name], k)
			os.RemoveAll(dir)
		}
	}
	return costs, nil
}

// syncs counts otad's in a run of its own, under strace.
func (s *stage) syncs() string {
	dir, err := os.MkdirTemp(s.dir, "strace-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	run := s.fetch(dir)
	log := dir + ".log"
	cmd := child("strace", append([]string{"-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync"}, run.Args...)...)
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
	slices.Sort(v)
	return v[len(v)/2]
}

// ratio is the median of the ratios round by round.
func ratio(a, b []cost, of func(cost) float64) float64 {
	v := make([]cost, len(a))
	for i := range a {
		v[i].wall = of(a[i]) / of(b[i])
	}
	return median(v, wall)
}
