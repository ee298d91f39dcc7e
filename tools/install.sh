#!/bin/sh
# Installs what the tests need and this machine lacks, and says so. Debian's
# packages need root; without it the tests that miss something are skipped, and
# `make test` ends with their list.
# The languages of the leak corpus are not among it: their outputs are recorded
# (guard/fault/leak/testdata/README.md).
set -eu
cd "$(dirname "$0")/.."
need=""
want() { command -v "$1" >/dev/null 2>&1 || need="$need $2"; }
want gcc gcc
want node nodejs
want npm npm
want openssl openssl
want curl curl
want chromium chromium
want certutil libnss3-tools
want nginx "nginx libnginx-mod-stream"
want testssl testssl.sh
want argon2 argon2
want systemd-analyze systemd
want ip iproute2
if [ -n "$need" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing from Debian:$need"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
	else
		echo "missing, and not installed for want of root or apt-get:$need" >&2
	fi
fi
for dir in examples/express e2e/observatory e2e/vault e2e/oidc e2e/axe e2e/routing npm/express guard/access/policy/testdata/oracle; do
	if command -v npm >/dev/null 2>&1; then
		./tools/npm.sh "$dir"
	fi
done
