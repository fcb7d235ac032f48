# otad: everything is built and tested from here. `make demo` and `make test` need Go alone.
# Each command gives the same text whatever the user has set for git.
VERSION    ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo dev)
REVISION   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --no-show-signature --format=%ct 2>/dev/null),0)
# Without inlining in packages that no byte of a package goes through one by one,
# boards' binaries are 0.7 MB smaller.
COLD       := otad/board/... os syscall strconv bufio bytes strings go.etcd.io/... golang.org/x/... crypto/tls/... crypto/x509/... database/... encoding/... flag fmt log/... math/big mime/... net/... \
              regexp/... text/... time github.com/prometheus/... google.golang.org/protobuf/...
GOFLAGS    := -trimpath -buildvcs=false $(foreach p,$(COLD),-gcflags=$(p)=-l)
# HTTP/2 is left out of the binary: range requests want one HTTP/1.1 connection.
TAGS       := nethttpomithttp2
LDFLAGS    := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION) -X main.built=$(SOURCE_DATE_EPOCH)
# What a user may have set and would change the bytes. (GOFLAGS itself is given as flags.)
PINNED     := GOFLAGS=-buildvcs=false GOWORK=off GOEXPERIMENT= GOFIPS140=off CGO_ENABLED=0 \
              GOAMD64=v1 GOARM64=v8.0 GORISCV64=rva20u64 GOMIPS=softfloat
BUILD      := $(PINNED) go build $(GOFLAGS) -tags $(TAGS) -ldflags "$(LDFLAGS)"
# The race detector needs a C compiler; without one the same tests run without it.
RACE       := $(if $(shell command -v gcc || command -v clang),-race)
SOURCES    := $(shell find . -name '*.go' -o -name go.mod -o -name go.sum)
# Programs inside testdata, which ./... does not reach.
EXTRA      := $(addprefix ./,$(sort $(dir $(wildcard testdata/*/*.go))))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: all demo demo-device test test-long check test-nginx test-servers test-metrics test-page sim-fleet test-media test-board test-model test-powercut test-powercut-device soak-powercut bench bench-peers bench-memory bench-link bench-arm guard cross install dist test-package size clean help

all: bin/otad ## build ./bin/otad, one static binary

bin/otad: $(SOURCES) Makefile bin/version
	@echo build $@
	@$(BUILD) -o $@ .

# Changes when the version does: the next build is then a new one.
bin/version: force
	@mkdir -p bin
	@echo '$(LDFLAGS)' | cmp -s - $@ || echo '$(LDFLAGS)' > $@

.PHONY: force

demo: bin/otad ## a download, killed in the middle, resumed exactly
	@go run ./testdata/demo

demo-device: bin/otad ## a package straight to a partition, killed twice, mounted only at the end
	@go run ./testdata/demo -device

test: ## every test that needs nothing but Go
	go test $(RACE) -shuffle=on -count=1 ./...
	go test -count=1 ./testdata/alive
	go test -count=1 -short ./testdata/slots
	go test -count=1 -v ./testdata/crashstates

test-long: ## what make test does, for longer: more months in the field, every crash state
	go test $(RACE) -count=1 -run Month ./fsm -long
	go test -count=1 -timeout 15m ./testdata/crashstates -states 0 -devicestates 6000

check: ## gofmt, go vet, staticcheck, govulncheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./... $(EXTRA)
	go run $(STATICCHECK) ./... $(EXTRA)
	@go mod tidy -diff
	@out=$$(go run $(GOVULNCHECK) -tags $(TAGS) . 2>&1) && echo "govulncheck: nothing known" || \
	  case "$$out" in *"fetching vulnerabilities"*) echo "govulncheck: skipped, its database cannot be reached";; *) echo "$$out"; exit 1;; esac

test-nginx: bin/otad ## 500 MB from Debian's nginx, killed once at about half
	@testdata/install nginx-light
	@go run ./testdata/peers kill

test-servers: bin/otad ## real servers: nginx, lighttpd, Apache, Caddy, an S3 server, a proxy; the recipes
	@testdata/install nginx-light lighttpd lighttpd-mod-openssl lighttpd-mod-deflate apache2-bin caddy tinyproxy-bin awscli
	go test -count=1 -v -timeout 20m ./testdata/servers

test-metrics: bin/otad ## a real Prometheus, promtool and node_exporter: series, alerts, dashboards
	@testdata/install prometheus prometheus-node-exporter
	go test -count=1 -v -run 'Promtool|NodeExporter' ./metrics
	go test -count=1 -v ./testdata/prometheus

test-page: bin/otad ## the page of the daemon in Chromium
	@testdata/install chromium
	@npm install --prefix testdata/page --no-save --no-package-lock --no-audit --no-fund --silent playwright-core@1.65.1
	node --test testdata/page/page.test.mjs

sim-fleet: bin/otad ## 300 boards lose their origin for two minutes; a cache before the store (5 GB of memory)
	@testdata/install nginx-light
	go test -count=1 ./testdata/s3 ./testdata/fleet
	go run ./testdata/fleet

test-media: ## full disks, read-only and failing media, odd clocks, packages on loop devices (root)
	@testdata/install e2fsprogs squashfs-tools erofs-utils util-linux
	go test -count=1 -v ./testdata/media
	go test -count=1 -v ./testdata/slots

test-model: ## every state of the protocol's model, with Debian's spin
	@testdata/install spin gcc libc6-dev
	go test -count=1 -v -timeout 15m ./testdata/model

test-board: ## the files of board/init under systemd and BusyBox init, with RAUC and SWUpdate (root); signatures
	@testdata/install systemd busybox-static util-linux minisign signify-openbsd
	@testdata/install rauc rauc-service dbus squashfs-tools swupdate cpio openssl shellcheck
	@testdata/powercut/setup.sh "" amd64
	go test -count=1 -v -parallel 4 ./testdata/init
	go test -count=1 -v -parallel 8 ./testdata/installers
	go test -count=1 -v ./testdata/signatures

test-powercut: ## power cuts: this kernel on a volatile disk, and boards in QEMU (root)
	testdata/powercut/setup.sh
	go test -count=1 ./testdata/powercut
	go run ./testdata/powercut -board host -n 1000
	go run ./testdata/powercut -board amd64 -n 100
	go run ./testdata/powercut -board arm64 -n 20
	go run ./testdata/powercut -board armhf -n 20

test-powercut-device: ## power cuts of boards whose packages go straight to a second disk (root)
	testdata/powercut/setup.sh "" amd64
	go run ./testdata/powercut -device -n 300
	go run ./testdata/powercut -board amd64 -device -n 50

N ?= 1000
soak-powercut: ## the same for longer: make soak-powercut N=1000
	testdata/powercut/setup.sh
	for b in host amd64 arm64 armhf; do go run ./testdata/powercut -board $$b -n $(N) || exit 1; done

bench: ## hashing, journal commit and the whole fetch, for benchstat
	go test -run '^$$' -bench . -benchtime 1s ./hashing ./journal ./netio ./fsm .

bench-peers: bin/otad ## otad against curl, wget, aria2c and the lower bounds: medians and ratios
	@testdata/install nginx-light curl wget aria2 strace python3-httpx swupdate cpio openssl
	@go run ./testdata/peers bench
	@go run ./testdata/peers bench -tls
	@go run ./testdata/peers bench -size 100000000
	@go run ./testdata/peers bench -size 100000000 -tls
	@go run ./testdata/peers resume
	@go run ./testdata/peers serve -tls
	@go run ./testdata/peers device

bench-arm: ## instructions a byte on emulated arm64 and armhf, against BusyBox' md5sum and wget
	@testdata/powercut/setup.sh "" arm64 armhf
	@go run ./testdata/instructions

# A 386 build runs as it is on an amd64 machine, and its int is armv7's.
bench-memory: bin/otad bin/otad-386 bin/otad-arm ## memory: flat over 4 GiB and over 1,000 resumes, and where it goes
	@testdata/install nginx-light qemu-user-static
	@go run ./testdata/peers large bin/otad bin/otad-386 'qemu-arm-static bin/otad-arm'
	@go run ./testdata/peers resumes -rounds 1000
	@go run ./testdata/peers memory -tls -rounds 3

bench-link: bin/otad ## what otad adds to the time of a link of 10 Mbit/s
	@testdata/install nginx-light curl
	@go run ./testdata/peers link -rounds 3
	@go run ./testdata/peers link -rounds 3 -tls

guard: bin/otad ## fails where otad got much slower or larger than its peers
	@testdata/install nginx-light curl
	@go run ./testdata/peers guard

GO_armv6 := GOARCH=arm GOARM=6
bin/otad-%: $(SOURCES) Makefile bin/version
	@echo build $@
	@GOOS=linux $(or $(GO_$*),GOARCH=$* GOARM=7) $(BUILD) -o $@ .

CROSS := $(addprefix bin/otad-,amd64 arm64 arm riscv64)
cross: $(CROSS) ## the binaries for boards, with their sizes
	@stat -c '%n %s bytes' $(CROSS)

# The man page, the completion of bash and the licences.
DOCS := bin/docs/otad.8
$(DOCS): $(SOURCES) Makefile bin/version LICENSE $(wildcard board/package/*.tmpl)
	@$(PINNED) go run $(GOFLAGS) -tags $(TAGS) ./board/package -date $(SOURCE_DATE_EPOCH) bin/docs

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINARY     ?= bin/otad
DOC        := $(DESTDIR)$(PREFIX)/share/doc/otad
install: $(BINARY) $(DOCS) ## binary, unit, man page, completion, configuration: make install DESTDIR=d PREFIX=/usr
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/otad
	for u in otad.service otad.socket; do \
	  install -D -m 644 board/init/$$u $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u && \
	  sed -i 's|/usr/bin/otad|$(PREFIX)/bin/otad|; s|/etc/otad.conf|$(SYSCONFDIR)/otad.conf|' $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u || exit 1; done
	install -D -m 644 board/package/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/otad.conf
	install -D -m 644 bin/docs/otad.8 $(DESTDIR)$(PREFIX)/share/man/man8/otad.8
	install -D -m 644 bin/docs/otad.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/otad
	install -D -m 644 bin/docs/copyright $(DOC)/copyright
	for f in otad.conf S90otad otad.procd; do install -D -m 644 board/init/$$f $(DOC)/examples/$$f || exit 1; done
	test -e $(DESTDIR)$(SYSCONFDIR)/otad.conf || install -D -m 644 board/init/otad.conf $(DESTDIR)$(SYSCONFDIR)/otad.conf

# The packagers are built as otad is, so that what they write of themselves is the same everywhere.
TOOL       := env -u GOOS -u GOARCH $(PINNED) go run -trimpath
NFPM       ?= $(TOOL) github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX  ?= $(TOOL) github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
MAINTAINER ?= The otad authors <otad@localhost>
BOARDS     ?= amd64 arm64 arm armv6 riscv64 mipsle
DIST       ?= bin/dist
TOOLCHAIN  := $(shell sed -n 's/^toolchain //p' go.mod)
export VERSION SOURCE_DATE_EPOCH MAINTAINER MAKE NFPM CYCLONEDX
dist: $(BOARDS:%=bin/otad-%) $(DOCS) ## .deb, .ipk, SBOM and SHA256SUMS in ./bin/dist: make dist BOARDS="arm arm64"
	board/package/dist.sh $(DIST) $(BOARDS)
	@cd $(DIST) && stat -c '%n %s bytes' *.deb *.ipk
	@test "$$(go env GOVERSION)" = "$(TOOLCHAIN)" || echo "built by $$(go env GOVERSION), and go.mod names $(TOOLCHAIN): these are not the bytes of a release"

test-package: ## packages installed, started, upgraded and removed on Debian; the same bytes from two machines (root)
	@testdata/install mandoc man-db mmdebstrap busybox-static
	@testdata/packages/setup.sh
	go test -count=1 ./board/package
	go test -count=1 -v ./testdata/packages

size: ## what each dependency costs in the boards' binaries
	@for a in arm arm64; do GOOS=linux GOARCH=$$a GOARM=7 CGO_ENABLED=0 go build $(GOFLAGS) -tags $(TAGS) -o bin/$$a.symbols . || exit 1; done
	@go run ./testdata/size bin/arm.symbols bin/arm64.symbols; rm -f bin/*.symbols

clean: ## remove ./bin
	rm -rf bin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
