# Latchkey: build, test, try. CONTRIBUTING.md says more about each.

.PHONY: help all docs install build build-testclock native go-build test test-go test-native race check cross demo up bench soak deps clean

SHELL    := /bin/bash
.SHELLFLAGS := -o pipefail -ec

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
GOBUILD  := CGO_ENABLED=0 $(GO) build -trimpath
BIN      := $(CURDIR)/bin
SHARE    := $(BIN)/share
# Real sshd, sudo and network namespaces need root; the tests that use them run
# through sudo when make itself does not.
AS_ROOT  := $(if $(filter 0,$(shell id -u)),,-exec "sudo -n -E")

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

all: build

build: deps native go-build docs ## bin/latchkey, bin/latchkey-agent, bin/pam_latchkey.so, bin/share

go-build:
	$(GOBUILD) -o bin/ ./cmd/latchkey ./cmd/latchkey-agent

docs: go-build ## manual pages and completions for bash, zsh and fish, into bin/share
	$(BIN)/latchkey manual $(SHARE)
	$(BIN)/latchkey-agent manual $(SHARE)

# Nothing is built here, so that root does not build. It enables no service.
PREFIX  ?= /usr
SYSTEMD ?= $(PREFIX)/lib/systemd/system
PAMDIR  ?= $(PREFIX)/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/security
install: ## what a package holds, below DESTDIR; after make build
	install -D -m 755 $(BIN)/latchkey $(DESTDIR)$(PREFIX)/bin/latchkey
	install -D -m 755 $(BIN)/latchkey-agent $(DESTDIR)$(PREFIX)/sbin/latchkey-agent
	install -D -m 644 $(BIN)/pam_latchkey.so $(DESTDIR)$(PAMDIR)/pam_latchkey.so
	install -D -m 644 -t $(DESTDIR)$(SYSTEMD) packaging/systemd/*
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d packaging/sysusers/*
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/latchkey packaging/prometheus/*
	cd $(SHARE) && find . -type f -exec install -D -m 644 {} $(DESTDIR)$(PREFIX)/share/{} \;

build-testclock: ## bin/testclock/…: the same programs with a clock that tests can move
	$(GOBUILD) -tags testclock -o bin/testclock/ ./cmd/latchkey ./cmd/latchkey-agent

native:
	mkdir -p bin
	$(MAKE) -C native all

deps:
	@scripts/install-deps build

test: ## everything that must be green before a change goes in
	@scripts/install-deps test
	$(MAKE) build build-testclock
	$(MAKE) test-native
	$(MAKE) test-go

test-native:
	$(MAKE) -C native test

# The race detector makes the embedded database ten times slower, so packages
# that reach it run without here and with it in `make race`. All of it runs even
# when some of it fails: one red package must not hide another.
test-go:
	@failed=0; \
	scripts/go-packages quick | xargs -r $(GO) test -race || failed=1; \
	scripts/go-packages database | xargs -r $(GO) test || failed=1; \
	LATCHKEY_BIN=$(BIN) $(GO) test -parallel 4 $(AS_ROOT) ./test/... || failed=1; \
	exit $$failed

race: build build-testclock ## all Go tests with the race detector (slow)
	scripts/go-packages quick | xargs -r $(GO) test -race
	scripts/go-packages database | xargs -r $(GO) test -race -timeout 30m

check: ## formatting, vet, staticcheck, code that nobody calls, the other systems, docs
	scripts/check-format
	$(GO) vet ./...
	$(GO) vet -tags testclock ./cmd/... ./internal/...
	$(TOOL) staticcheck ./...
	scripts/check-deadcode
	$(MAKE) cross
	scripts/check-docs

cross: ## do the programs still build for Windows and macOS?
	GOOS=windows $(GOBUILD) -o /dev/null ./cmd/latchkey-agent
	GOOS=darwin GOARCH=arm64 $(GOBUILD) -o /dev/null ./cmd/latchkey-agent

demo: ## the whole story in two minutes, on real components
	@scripts/demo

up: ## a server and an enrolled machine to explore, until Ctrl-C
	@scripts/up

bench: ## what a login costs, beside other modules, the disk and the database
	scripts/bench

soak: ## break the code line by line and see the tests notice; run it beside an earlier version
	scripts/soak
	$(if $(filter 0,$(shell id -u)),,sudo -n -E) scripts/upgrade

clean:
	rm -rf bin
	$(MAKE) -C native clean
