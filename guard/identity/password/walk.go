package password

// lines are what fingers and minds walk along: the alphabet, the digits, and
// the rows and columns of the keyboards with Latin letters.
var lines = func() [][]rune {
	var all [][]rune
	for _, l := range []string{
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
		"01234567890123456789", "!@#$%^&*()_+", "!\"§$%&/()=",
		"qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", // US
		"qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-", // German
		"azertyuiop", "qsdfghjklm", "wxcvbn", // French
		"1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/",
	} {
		all = append(all, []rune(l))
	}
	return all
}()

// shortest is the shortest part of a walk that is none by chance.
const shortest = 3

// walks says whether all of s is walked along lines, in either direction, in
// parts of three steps at least; the last may break off.
func walks(s []rune) bool {
	if len(s) < shortest {
		return false
	}
	reached := make([]bool, len(s)+1)
	reached[0] = true
	for i := range s {
		if !reached[i] {
			continue
		}
		n := longestWalk(s[i:])
		for k := shortest; k <= n; k++ {
			reached[i+k] = true
		}
		if i > 0 && i+n == len(s) {
			return true // the last part breaks off
		}
	}
	return reached[len(s)]
}

// longestWalk returns how many of the first runes of s follow one line.
func longestWalk(s []rune) int {
	best := 1
	for _, l := range lines {
		for at, r := range l {
			if r != s[0] {
				continue
			}
			for _, step := range []int{1, -1} {
				n := 1
				for j := at + step; n < len(s) && j >= 0 && j < len(l) && l[j] == s[n]; j += step {
					n++
				}
				best = max(best, n)
			}
		}
	}
	return best
}
