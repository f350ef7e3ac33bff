# The verbs of this project; `make help` lists them. Each does what it needs first.

.DEFAULT_GOAL := help
SHELL := /bin/bash

venv := .venv
python := $(venv)/bin/python

# A system SPDK stands before the vendored tree for everybody who uses the crates; here the vendored one is
# meant, with its embedded target.
ifneq ($(shell pkg-config --exists spdk_nvme 2>/dev/null && echo yes),)
export SPDK_NO_PKG_CONFIG := 1
endif

# Arguments of some verbs.
TESTS ?=
pciaddr ?=
port ?= 4420
JOBS ?= 1
FAILED ?=
ON ?= both
PAIRS ?= 15
SECONDS ?= 1
TIMEOUT ?= 1800
VFIO ?=

.PHONY: help
help: ## list the verbs
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: vendor venv module ## install what is missing, build everything, make .venv
	@echo "ready: $(venv)/bin/python has the module nvme; activate with: source $(venv)/bin/activate"

.PHONY: packages
packages:
	@scripts/install-packages

.PHONY: vendor
vendor: packages
	@vendor/fetch
	@vendor/unpack
	@vendor/build

.PHONY: venv
venv: packages
	@scripts/setup-venv

# Cargo knows what is out of date.
.PHONY: module
module: vendor venv
	@scripts/build-module

.PHONY: build
build: vendor module ## build SPDK, the Rust crates and the Python module
	@cargo build --release --workspace

.PHONY: demo
demo: module ## hello world and a loaded device, on the embedded target
	@scripts/with-hugepages 1024 $(python) scripts/demo.py

.PHONY: target
target: module ## run the embedded target in the foreground (port=4420)
	@scripts/with-hugepages 1024 $(python) -m nvme target --port $(port)

# With TESTS it does what pynvme's `make test` does; the log is in test_<pciaddr>.log.
.PHONY: test
test: $(if $(TESTS),test-scripts,test-rust test-python) ## run all tests, or Python's with TESTS=… pciaddr=…

.PHONY: test-rust
test-rust: vendor ## run the Rust tests
	@scripts/with-hugepages 1536 cargo test --release --workspace --quiet

.PHONY: test-python
test-python: module ## run the Python tests (TESTS=tests/python pciaddr=…)
	@scripts/with-hugepages 1536 $(python) -B -m pytest $(or $(TESTS),tests/python) --pciaddr=$(pciaddr)

.PHONY: test-scripts
test-scripts: module
	@pciaddr='$(pciaddr)' scripts/with-hugepages 1536 scripts/run-tests $(TESTS)

# What make is given on its command line is in the environment as well, where quotes need no care.
.PHONY: lab
lab: module ## run CMD="…" in a guest with emulated NVMe controllers (TIMEOUT=1800)
	@python3 -B scripts/lab --timeout $(TIMEOUT) "$$CMD"

.PHONY: test-pcie
test-pcie: module ## run the tests of the lab, or Python's with TESTS=… (VFIO=1)
	@scripts/test-pcie --timeout $(TIMEOUT) $(if $(VFIO),--vfio) -- $(TESTS)

.PHONY: conformance
conformance: module ## run pynvme's own tests, writes docs/conformance.md (ON=tcp|pcie TESTS=… FAILED=1)
	@scripts/conformance/setup
	@scripts/with-hugepages 1536 $(python) -B scripts/conformance/run.py \
	    --on $(ON) --tests '$(TESTS)' --jobs $(JOBS) $(if $(FAILED),--failed)

.PHONY: tcp-suite
tcp-suite: module ## run nvme.suites.tcp on SPDK's and on Linux's target, writes docs/tcp-suite-results.md (ON=spdk|linux)
	@scripts/with-hugepages 1536 $(python) -B scripts/tcp-suite/run.py --on $(ON) -- $(TESTS)

# What they cover is in docs/soundness.md.
.PHONY: miri
miri: ## run the crate's unit tests under Miri (installs a nightly Rust)
	@scripts/soundness/miri $(TESTS)

.PHONY: asan
asan: vendor ## run integration tests under AddressSanitizer (TESTS="ownership drops")
	@scripts/with-hugepages 1536 scripts/soundness/asan $(TESTS)

.PHONY: valgrind
valgrind: vendor ## run integration tests under valgrind (TESTS="ownership")
	@scripts/with-hugepages 1536 scripts/soundness/valgrind $(TESTS)

.PHONY: stubtest
stubtest: module ## compare the types of the Python module with the module itself
	$(python) -m mypy.stubtest nvme --allowlist scripts/stubtest-allowlist.txt
	$(python) -m mypy --strict tests/python/typing_sample.py

# Without valgrind everything but the instructions is measured.
.PHONY: bench
bench: module ## compare with SPDK's perf, writes target/bench (PAIRS=15 SECONDS=1)
	-@scripts/install-packages valgrind
	@cargo build --release --quiet -p nvme-spdk --example bench_worker --example perf
	@scripts/with-hugepages 1536 $(python) -B scripts/bench/run.py --pairs $(PAIRS) --seconds $(SECONDS)

.PHONY: lint
lint: vendor venv stubtest ## check format and style of Rust, Python and the documentation
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --quiet
	@scripts/doc-alone
	$(venv)/bin/ruff check .
	$(venv)/bin/ruff format --check .

.PHONY: package
package: vendor ## pack the crates as they would be published, and build them from that
	SPDK_DIR=$(CURDIR)/vendor/spdk cargo package -p spdk-sys -p nvme-spdk

.PHONY: msrv
msrv: vendor ## build with the oldest Rust and the oldest dependencies
	@scripts/msrv

.PHONY: deny
deny: ## check licences, duplicates, sources and advisories of the dependencies
	@scripts/deny

.PHONY: clean
clean: ## remove what was built, but not SPDK and .venv
	rm -rf target pynvme/python/nvme/*.so .pytest_cache tests/.pytest_cache .ruff_cache

.PHONY: distclean
distclean: clean ## remove SPDK, its source archive and .venv as well
	rm -rf $(venv) vendor/spdk vendor/download vendor/.spdk.partial
