package main

import (
	"fmt"
	"slices"
	"strings"
)

// slowLinkTimes compares otad with the link alone on a slow link, and returns
// an error if otad adds more than a hundredth to the time.
func slowLinkTimes(s *stage, rounds int) error {
	s.url = strings.Replace(s.url, "/package.bin", "/slow/package.bin", 1)
	pair := slices.DeleteFunc(s.contenders(), func(c contender) bool { return c.name != nameOtad && c.name != nameLink })
	costs, err := s.alternate(pair, rounds)
	if err != nil {
		return err
	}
	ideal := float64(s.size) / slowLink
	fmt.Printf("\n%d bytes from nginx at %d bytes/s (%.2f s); medians of %d alternating rounds.\n\n", s.size, slowLink, ideal, rounds)
	fmt.Println("| | wall s | / link alone | / (bytes / rate) | CPU s |")
	fmt.Println("|---|---|---|---|---|")
	link := costs[nameLink]
	for _, c := range pair {
		k := costs[c.name]
		fmt.Printf("| %s | %.3f | %.4f | %.4f | %.2f |\n", c.name, median(k, wall), ratio(k, link, wall), median(k, wall)/ideal, median(k, cpu))
	}
	if over := ratio(costs[nameOtad], link, wall); over > 1.01 {
		return fmt.Errorf("otad takes %.4f times as long as the link alone", over)
	}
	return nil
}
