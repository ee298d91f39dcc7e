# What a newcomer needs: test, check, install, demo. Slow proofs: soak, bench.

GO ?= go
FUZZTIME ?= 20s
BIN ?= $(or $(shell $(GO) env GOBIN),$(shell $(GO) env GOPATH)/bin)

.PHONY: test check unit race lint fuzz e2e soak bench install demo schema tools

## test: everything; says what it installs
test: tools check e2e

## check: gofmt, vet, staticcheck, race tests, floors, rooms, 20 s of each fuzz target
check: lint race fuzz

lint:
	@echo "== gofmt"; out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	@echo "== go vet"; $(GO) vet ./...
	@echo "== staticcheck"; d=$$(mktemp -d); (cd tools && $(GO) build -o $$d/staticcheck honnef.co/go/tools/cmd/staticcheck) && $$d/staticcheck ./... ; s=$$?; rm -rf $$d; exit $$s

race:
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v -e /e2e -e /bench)
	$(GO) test -count=1 -timeout 10m -v -run Test ./bench

fuzz:
	./tools/fuzz.sh $(FUZZTIME)

## e2e: the built binary, a real Express app, a real browser
e2e:
	$(GO) test -timeout 30m ./e2e/...

## soak: the slow proofs, repeated
soak:
	HAUBERK_SOAK=1 $(GO) test -timeout 3h -count=1 ./e2e/... ./guard/... .

## bench: the comparison with peers, side by side in one run
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./bench/... ./guard/...

## install: the hauberk command, into GOBIN
install:
	$(GO) install ./cmd/hauberk
	@echo "installed $(BIN)/hauberk"

demo:
	$(GO) run ./cmd/hauberk demo

schema:
	$(GO) run ./cmd/hauberk schema > config.schema.json

## tools: what the tests need and the machine lacks
tools:
	./tools/install.sh
