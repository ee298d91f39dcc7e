#!/bin/sh
# Runs every fuzz target of the module for a while: tools/fuzz.sh 20s
#
# A run counts as a find unless the one thing that went wrong is the end of its time: Go's
# fuzzer can take its own deadline for a failure ("context deadline exceeded", no input
# written; golang.org/issue/75804, mended in Go 1.27). Such a run is said and made again.
set -eu
time=${1:-20s}
cd "$(dirname "$0")/.."
found=0
failed=""
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# fuzz runs one target and leaves what it printed in $out.
fuzz() {
	{ go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x -timeout 10m "./$1" 2>&1 && echo "the fuzzer held"; } | tee "$out" | grep -v '^the fuzzer held$'
	tail -n 1 "$out" | grep -q '^the fuzzer held$'
}

# late tells whether the run in $out failed for nothing but the end of its time.
late() {
	grep -q '^    context deadline exceeded$' "$out" && ! grep -qE 'Failing input|panic|testdata/fuzz|hung or terminated' "$out"
}

for dir in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //'); do
		found=$((found + 1))
		echo "== fuzz $dir $target $time"
		fuzz "$dir" "$target" && continue
		if late; then
			echo "== fuzz $dir $target: its time ended badly, nothing was found; once more"
			fuzz "$dir" "$target" && continue
		fi
		failed="$failed $dir:$target"
	done
done
if [ -n "$failed" ]; then
	echo "fuzzing found something:$failed" >&2
	exit 1
fi
echo "$found fuzz targets held"
[ "$found" -gt 0 ]
