# What a newcomer needs: test, check, install, demo. Slow proofs: soak, bench.

GO ?= go
FUZZTIME ?= 20s
SOAK ?= 10
TEST = $(GO) run -C tools ./gotest
BIN ?= $(or $(shell $(GO) env GOBIN),$(shell $(GO) env GOPATH)/bin)

.PHONY: test check unit race lint fuzz e2e soak bench install release demo schema tools

## test: everything; says what it installs, and at its end what it skipped and why
test: tools
	@f=$$(mktemp); HAUBERK_SKIPS=$$f $(MAKE) --no-print-directory check e2e; s=$$?; \
	if [ -s $$f ]; then echo "== skipped in all"; sort -u $$f; else echo "== nothing was skipped"; fi; rm -f $$f; exit $$s

## check: gofmt, vet, staticcheck, race tests, floors, rooms, 20 s of each fuzz target
check: lint race fuzz

lint:
	@echo "== gofmt"; out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	@echo "== go vet"; $(GO) vet ./...
	@echo "== staticcheck"; d=$$(mktemp -d); (cd tools && $(GO) build -o $$d/staticcheck honnef.co/go/tools/cmd/staticcheck) && $$d/staticcheck ./... ; s=$$?; rm -rf $$d; exit $$s

race:
	$(TEST) -race -timeout 20m $$($(GO) list ./... | grep -v -e /e2e -e /bench)
	$(TEST) -count=1 -timeout 10m -v -run Test ./bench
	cd tools && $(GO) test ./...

fuzz:
	./tools/fuzz.sh $(FUZZTIME)

## e2e: the built binary, a real Express app, a real browser
e2e:
	$(TEST) -timeout 30m ./e2e/...

## soak: the slow proofs, SOAK=10 times as long: stops, reloads, kills, floods, slow heads, mutations against Node, releases, fuzzing
soak: tools
	@echo "== the slow proofs, $(SOAK) times as long; SOAK=N for another length"
	HAUBERK_SOAK=$(SOAK) $(TEST) -v -count=1 -timeout 24h -run '^(TestAStop.*|TestReloads.*|TestSlowHeads.*|TestAFlood.*|TestNodeReads.*|TestARelease.*|TestAKill.*|TestAMillion.*|TestNobodyLearns.*|TestEveryErrorOutput.*|TestTheOutputs.*)$$' ./e2e ./guard/harden/wire ./guard/fault/... ./cmd/hauberk ./store/sqlite ./guard/session
	./tools/fuzz.sh $$(($(SOAK) * $(FUZZTIME:s=)))s

## bench: the comparison with peers, side by side in one run
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./bench/... ./guard/...

## install: the hauberk command, into GOBIN
install:
	$(GO) install ./cmd/hauberk
	@echo "installed $(BIN)/hauberk"
	@case ":$$PATH:" in *":$(BIN):"*) ;; *) echo "your shell does not look there yet: export PATH=\"$(BIN):\$$PATH\"";; esac

## release: static binaries for linux amd64 and arm64 into dist/, the same bytes wherever they are built; VERSION=v1.2.3
release:
	./tools/release.sh $(VERSION)

demo:
	$(GO) run ./cmd/hauberk demo

schema:
	$(GO) run ./cmd/hauberk schema > config.schema.json

## tools: what the tests need and the machine lacks
tools:
	./tools/install.sh
