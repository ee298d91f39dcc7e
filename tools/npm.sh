#!/bin/sh
# Installs the packages of a folder by its lock file, unless they are those of
# the lock file already: tools/npm.sh examples/express
# npm writes node_modules/.package-lock.json when it has installed all of them.
set -eu
cd "$1"
done=node_modules/.package-lock.json
if [ -f "$done" ] && [ -z "$(find package-lock.json -newer "$done")" ]; then
	exit 0
fi
echo "installing from npm: $1"
npm ci --ignore-scripts --no-audit --no-fund --silent
