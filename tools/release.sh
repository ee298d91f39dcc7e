#!/bin/sh
# Builds the release for Linux into dist/: tools/release.sh [VERSION]
#
# One tree, one version and one Go give the same bytes, whoever builds them and
# where: no path, no time, no cache and no setting of the builder gets in.
# ARCHS, GOCACHE and DIST may be set; VERSION is else what git says.
set -eu
cd "$(dirname "$0")/.."
version=${1:-${VERSION:-$(git describe --tags --always --dirty)}}
case $version in
'' | *[!A-Za-z0-9.+_-]*) echo "release: \"$version\" is no version" >&2; exit 2 ;;
esac
dist=${DIST:-dist}
archs=${ARCHS:-amd64 arm64}

# The builder's own settings would change the bytes; only where Go finds
# modules and keeps its cache stays the builder's affair.
for name in GOCACHE GOMODCACHE GOPROXY GOSUMDB GONOSUMDB GONOPROXY GOTOOLCHAIN; do
	export "$name=$(go env $name)"
done
unset GOFLAGS GOEXPERIMENT GODEBUG GOFIPS140 GO_EXTLINK_ENABLED GOROOT
export GOENV=off GOWORK=off CGO_ENABLED=0 GOOS=linux GOAMD64=v1 GOARM64=v8.0 LC_ALL=C

mkdir -p "$dist"
rm -f "$dist/SHA256SUMS"
names=""
for arch in $archs; do
	name=hauberk-$version-linux-$arch
	echo "building $dist/$name with $(go env GOVERSION)"
	GOARCH=$arch go build -mod=readonly -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.released=$version" -o "$dist/$name" ./cmd/hauberk
	# What is inside, for those who watch for advisories: Go and every module
	# with its version and checksum. The first line would be a path.
	go version -m "$dist/$name" | sed "1s|.*: |$name: |" >"$dist/$name.modules"
	names="$names $name $name.modules"
done
(cd "$dist" && sha256sum $names >SHA256SUMS)
cat "$dist/SHA256SUMS"
