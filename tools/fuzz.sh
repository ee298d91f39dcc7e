#!/bin/sh
# Runs every fuzz target of the module for a while: tools/fuzz.sh 20s
set -eu
time=${1:-20s}
cd "$(dirname "$0")/.."
found=0
failed=""
for dir in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //'); do
		found=$((found + 1))
		echo "== fuzz $dir $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x -timeout 10m "./$dir" || failed="$failed $dir:$target"
	done
done
if [ -n "$failed" ]; then
	echo "fuzzing found something:$failed" >&2
	exit 1
fi
echo "$found fuzz targets held"
[ "$found" -gt 0 ]
