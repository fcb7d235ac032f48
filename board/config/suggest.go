package config

import "strings"

// didYouMean returns the end of an error about an unknown name: the closest of
// names, with the given prefix, or "" when none is close.
func didYouMean(prefix, name string, names []string) string {
	name = strings.TrimLeft(name, "-")
	best, least := "", 3 // more than two differences: another word
	for _, candidate := range names {
		if d := distance(name, candidate); d < least && d < len(candidate) {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + prefix + best + "?"
}

// distance returns how many bytes must be inserted, deleted or replaced to turn
// a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
