# Prerequisites: Rust, a C and C++ compiler, make, Python 3 and Node.js with npm; no root. All other
# tools are installed below target/.

CARGO ?= cargo
PYTHON ?= python3
NODE ?= node
TARGET := $(CURDIR)/target
RELEASE := $(TARGET)/release
VENV := $(TARGET)/venv
PY := $(VENV)/bin/python

# For cargo: the Python module is not linked to libpython.
export PYO3_BUILD_EXTENSION_MODULE = 1
export CARGO_TARGET_DIR = $(TARGET)

# Seconds after which a test of Python fails, for those that wait for something that never comes.
export PYTEST_TIMEOUT ?= 900

# Build outputs contain no path of the machine.
CARGO_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
RUSTUP_FOLDER := $(or $(RUSTUP_HOME),$(HOME)/.rustup)
ifeq ($(words $(CARGO_FOLDER) $(RUSTUP_FOLDER) $(CURDIR))$(findstring --remap-path-prefix,$(RUSTFLAGS)),3)
export RUSTFLAGS += --remap-path-prefix=$(CURDIR)=caster --remap-path-prefix=$(CARGO_FOLDER)=cargo --remap-path-prefix=$(RUSTUP_FOLDER)=rustup
endif

# Where `make install` puts the C library; DESTDIR goes in front of all of them.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
INSTALL_C = PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" MANDIR="$(MANDIR)" DESTDIR="$(DESTDIR)" RELEASE="$(RELEASE)" caster-ffi/packaging/install.sh

.DEFAULT_GOAL := build
.PHONY: build test-install libraries sizes demo demo-programs test lint prose test-docs test-rust test-generated test-c test-c-programs test-c-tools test-c-packages test-c-abi test-python test-lives test-node test-command test-command-loopback test-command-doctor test-command-originals test-command-others test-web test-page test-static pictures test-interop test-lab test-beside test-networks networks test-all-networks test-attacks attacks test-all-attacks sanitize test-all dist dist-c dist-command dist-packages dist-node dist-python dist-deb release sim soak fuzz differential test-differential models test-models mutants test-mutants test-faults faults test-flood test-soak short-soak test-foreign coverage site generated install uninstall semver abi-baseline bench test-instructions instructions-baseline clean help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: libraries sizes ## the C library, the Python module and the Node.js module, stripped

libraries:
	@echo "== Building the core, the C library, the Python module, the Node.js module and the Rust programs"
	$(CARGO) build --release -p caster-core --example hello --example peer
	$(CARGO) build --release -p caster-ffi -p caster-python -p caster-node
	@ln -sf libcaster.so $(RELEASE)/libcaster.so.0 # by this name programs look for it
	@caster-ffi/packaging/static-library.sh $(RELEASE)/libcaster.a # one object with no names but caster_*

sizes: libraries ## sizes of the libraries; fails if one exceeds its limit
	@echo "== Sizes, stripped"
	@tests/packaging/sizes.sh $(RELEASE)

install: ## the C library into PREFIX (/usr/local), LIBDIR, INCLUDEDIR, MANDIR, below DESTDIR
	@[ -f $(RELEASE)/libcaster.so ] || $(MAKE) libraries
	$(INSTALL_C) install

uninstall: ## remove the files of `install`
	$(INSTALL_C) uninstall

demo: demo-programs ## build everything and run the programs of examples/ together for a few seconds
	$(PYTHON) examples/demo.py \
	    "c=$(TARGET)/demo/hello-c" \
	    "c++=$(TARGET)/demo/hello-cpp" \
	    "rust=$(RELEASE)/examples/hello" \
	    "python=env PYTHONPATH=$(TARGET)/demo/python $(PYTHON) examples/hello.py" \
	    "node.js=env NODE_PATH=$(TARGET)/demo/node $(NODE) examples/hello.js"

demo-programs: build
	@echo "== Compiling the C and C++ programs, laying out the Python and Node.js packages"
	@mkdir -p $(TARGET)/demo/python $(TARGET)/demo/node
	$(CC) -std=c99 -Wall -Wextra -Wpedantic -Werror -O2 -Iinclude examples/hello.c -o $(TARGET)/demo/hello-c -L$(RELEASE) -lcaster -Wl,-rpath,$(RELEASE)
	$(CXX) -std=c++17 -Wall -Wextra -Wpedantic -Werror -O2 -Iinclude examples/hello.cpp -o $(TARGET)/demo/hello-cpp -L$(RELEASE) -lcaster -Wl,-rpath,$(RELEASE)
	@rm -rf $(TARGET)/demo/python/caster && cp -r bindings/python/python/caster $(TARGET)/demo/python/
	@cp $(RELEASE)/lib_caster.so $(TARGET)/demo/python/caster/_caster.abi3.so
	@rm -f $(TARGET)/demo/node/caster && ln -s $(CURDIR)/bindings/node $(TARGET)/demo/node/caster

test: lint test-docs test-rust test-models test-mutants test-instructions test-generated test-c test-command test-python test-node test-interop test-differential test-flood test-lab test-beside ## all tests
	@echo "== The demo"
	$(MAKE) demo
	@echo "== All tests passed"

lint: $(VENV)/.ready
	@echo "== Format and lints"
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features caster-core/async -- -D warnings
	$(CARGO) clippy -p caster-core --lib --no-default-features -- -D warnings
	CARGO="$(CARGO)" tests/packaging/targets.sh
	@echo "== Words and links"
	$(PY) tests/prose/lint.py --pending
	$(PY) tests/prose/links.py
	$(PY) -m pytest -q -p no:cacheprovider tests/prose tests/house

prose: $(VENV)/.ready ## words and voice of documentation and comments; FILES='README.md' for some files only
	$(PY) tests/prose/lint.py $(FILES)

test-docs: $(VENV)/.ready ## every snippet of the documentation compiles
	@echo "== Snippets of the documentation"
	$(PY) -m pytest -q -rs tests/snippets

test-rust: ## the core: units, vectors, virtual time, sockets on loopback
	@echo "== Rust"
	CASTER_SIM_SEEDS=800 $(CARGO) test --features caster-core/async -p caster-core -p caster-ffi -p xtask
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc -p caster-core --features async --no-deps

sim: ## the tables of docs/liveness.md, and accidents from SEEDS=20000 seeds
	CASTER_SIM_SEEDS=$(or $(SEEDS),20000) $(CARGO) test -p caster-core --lib accidents
	CASTER_SIM_HOURS=$(or $(HOURS),2) $(CARGO) test -p caster-core --lib table_of_ -- --ignored --nocapture

FUZZ_TARGETS := envelope received stages options pieces sealed signed engine_sequence c_calls

$(TARGET)/tools/bin/cargo-fuzz:
	$(CARGO) install -q cargo-fuzz --version 0.13.2 --locked --root $(TARGET)/tools

fuzz: $(TARGET)/tools/bin/cargo-fuzz ## each fuzz target for TIME=60 seconds, RUNS=1000000 executions at the most; FUZZ_TARGETS=envelope for one, SANITIZER=address
	@mkdir -p $(addprefix $(TARGET)/fuzz/found/,$(FUZZ_TARGETS))
	for target in $(FUZZ_TARGETS); do \
	    RUSTC_BOOTSTRAP=1 PATH="$(TARGET)/tools/bin:$$PATH" CARGO_TARGET_DIR=$(TARGET)/fuzz$(addprefix -,$(SANITIZER)) \
	        $(CARGO) fuzz run --sanitizer $(or $(SANITIZER),none) $$target $(TARGET)/fuzz/found/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(or $(TIME),60) $(addprefix -runs=,$(RUNS)) -dict=fuzz/dictionary -max_len=4096 -timeout=10 \
	        -print_final_stats=1 || exit 1; \
	done

models: ## loom: every order of operations where threads meet (tests/reliability/loom); NAME=waker for some
	cd tests/reliability/loom && RUSTFLAGS= CARGO_TARGET_DIR=$(TARGET)/loom $(CARGO) run -q --release -- $(NAME)

test-models:
	@echo "== Models"
	$(MAKE) models

mutants: ## changes the core a line at a time: its tests have to notice; SAMPLE=6 for a few
	$(PYTHON) tests/mutants/run.py $(if $(SAMPLE),--sample $(SAMPLE))

test-mutants: ## six of them
	@echo "== Mutants"
	$(MAKE) mutants SAMPLE=6

SITE_PY := $(TARGET)/site-venv/bin/python

$(TARGET)/site-venv/.ready: docs/site/requirements.txt
	$(PYTHON) -m venv --clear $(TARGET)/site-venv
	$(SITE_PY) -m pip install -q --disable-pip-version-check -r docs/site/requirements.txt
	@touch $@

site: $(TARGET)/site-venv/.ready libraries ## the documentation with the references of all languages as a site, into target/site
	$(SITE_PY) docs/site/build.py $(TARGET)/site

generated: ## write include/caster.h, docs/options.md and what the README quotes
	$(CARGO) run -q -p xtask -- header
	$(CARGO) run -q -p xtask -- docs

test-generated: ## that they are up to date
	@echo "== Generated files"
	$(CARGO) run -q -p xtask -- header --check
	$(CARGO) run -q -p xtask -- docs --check

test-c: libraries ## C and C++ programs, the header, the symbols
	@echo "== C and C++"
	tests/packaging/sizes.sh $(RELEASE)
	@# Each takes one processor at the most, and often none.
	$(MAKE) -j3 --output-sync=target test-c-tools test-c-packages test-c-programs test-c-abi

test-c-programs:
	tests/c/run.sh $(RELEASE)

test-c-tools:
	tests/c/sanitizers.sh $(RELEASE)

test-c-packages:
	tests/packaging/run.sh $(RELEASE)

test-c-abi:
	tests/abi/run.sh $(RELEASE)

soak: $(VENV)/.ready libraries ## flood, tables and truth for 20 minutes, simulated hours, and the C programs with 10,000 lives, exits, forks and threads
	CASTER_LONG=1 PYTEST_TIMEOUT=1800 $(PY) -m pytest -q -rs tests/reliability/flood tests/reliability/soak
	CASTER_SIM_HOURS=8 $(CARGO) test -q -p caster-core --lib hours_of_accidents -- --ignored
	CASTER_LIVES=10000 CASTER_EXITS=1000 CASTER_SECONDS=600 tests/c/run.sh $(RELEASE)

sanitize: libraries ## the address and thread sanitizers of rustc over Rust, C and C++ together; the corpora of the fuzz targets with the address sanitizer
	@echo "== Sanitizers"
	tests/c/instrumented.sh address
	tests/c/instrumented.sh thread
	$(MAKE) fuzz SANITIZER=address RUNS=0 TIME=600

test-command: $(VENV)/.ready ## the command, on loopback and in namespaces with originals
	@echo "== The command"
	$(CARGO) build -q -p caster-cli
	$(CARGO) test -p caster-cli --no-run
	@# They wait most of their time, so they run side by side; each has a network of its own.
	$(MAKE) -j4 --output-sync=target test-command-loopback test-command-doctor test-command-originals test-command-others

test-command-loopback:
	$(CARGO) test -p caster-cli

test-command-doctor:
	$(PY) -m pytest -q -rs tests/command/test_doctor.py

ORIGINALS_SEEN := tests/command/test_unseen.py tests/command/test_originals.py

test-command-originals:
	$(PY) -m pytest -q -rs $(ORIGINALS_SEEN)

test-command-others:
	$(PY) -m pytest -q -rs tests/command $(addprefix --ignore ,tests/command/browser tests/command/static tests/command/test_doctor.py $(ORIGINALS_SEEN))

test-web: $(VENV)/.ready ## the page of `caster web` in headless Chromium, Prometheus, and the cost of `watch`
	@echo "== The page"
	.ci/tools.sh chromium prometheus
	$(CARGO) test -q -p caster-cli --no-run
	$(PY) -m pytest -q -rs tests/command/browser

test-page: $(VENV)/.ready ## the same without the cost of `watch`, for machines that have Chromium and Prometheus
	@echo "== The page"
	$(CARGO) build -q -p caster-cli
	$(PY) -m pytest -q -rs tests/command/browser --ignore tests/command/browser/test_cost.py

pictures: $(VENV)/.ready ## write docs/pictures again, from real runs of watch, web and doctor; needs root or namespaces, and Chromium
	$(CARGO) test -q -p caster-cli --no-run
	$(PY) tests/command/pictures.py

$(VENV)/.ready: tests/requirements.txt
	@echo "== A virtual environment with the tools for the Python tests"
	$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) has no venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PY) -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

test-python: $(VENV)/.ready libraries ## the wheel, built and installed as users do, then pytest and types; every Python that is found
	@echo "== Python"
	rm -rf $(TARGET)/wheels
	@# In a place of its own: maturin has settings for pyo3 with which `libraries` would build all anew.
	cd bindings/python && CARGO_TARGET_DIR=$(TARGET)/wheel-build $(VENV)/bin/maturin build --release -o $(TARGET)/wheels -i $(PY)
	sh bindings/python/scripts/test.sh $(PY) $(TARGET)/wheels $(TARGET)/venvs
	LIBCASTER=$(RELEASE)/libcaster.so $(PY) -m pytest -q -W error tests/ctypes

test-lives: $(VENV)/.ready test-python ## the interpreter ends 200 times in each style and 40 times with a hundred nodes, and many nodes leave no memory in Python and Node.js
	@echo "== Lives and exits"
	cd bindings/python && CASTER_EXITS=200 CASTER_LIVES=1000 $(PY) -m pytest -q -p no:cacheprovider tests/test_exit.py tests/test_process.py -k "exits_with or many_dropped"
	cd bindings/node && CASTER_LIVES=9000 $(NODE) --test --test-reporter=spec --test-name-pattern "leave no memory" test/process.test.js

test-node: libraries ## the npm package on Node.js 20, the newest and Bun; the original's own tests; the packed package
	@echo "== Node.js"
	NODE=$(NODE) sh bindings/node/test/all-runtimes.sh 20 newest bun
	NODE=$(NODE) sh bindings/node/test/package.sh

test-lab: $(VENV)/.ready libraries ## real processes on a lossy network: figures in target/lab/table.md
	@echo "== Lab"
	$(PY) -m pytest -q -rs tests/lab

test-networks: $(VENV)/.ready test-python libraries ## networks in trouble: real processes in namespaces
	$(MAKE) networks

networks:
	@echo "== Networks"
	$(PY) -m pytest -q -rs -n 4 --dist worksteal tests/networks

test-beside: $(VENV)/.ready test-python libraries ## test-networks, test-attacks, test-faults and test-soak, which wait most of their time, side by side
	$(MAKE) -j3 --output-sync=target networks attacks faults short-soak

test-all-networks: $(VENV)/.ready test-python libraries ## and a switch that forgets its members, for six minutes
	@echo "== Networks, the long ones"
	CASTER_LONG=1 $(PY) -m pytest -q -rs tests/networks/test_snooping.py

test-attacks: $(VENV)/.ready libraries ## lies told to real processes: all rows in one mode, one of each statement in the others
	$(MAKE) attacks

attacks:
	@echo "== Attacks"
	CASTER_ATTACKS=short $(PY) -m pytest -q -rs tests/attacks/test_attacks.py

test-all-attacks: $(VENV)/.ready libraries ## all rows in all modes, broken networks, the cost of a datagram
	@echo "== Attacks, all of them"
	$(PY) -m pytest -q -rs tests/attacks

test-install: build ## the install lines of README.md by copy and paste
	@echo "== Install lines"
	$(PYTHON) tests/snippets/install.py

test-all: test test-static test-foreign test-all-attacks test-all-networks sanitize coverage semver test-lives test-web test-install site ## and all attacks, the long network tests, the npm package on Node.js 18 to 26, and test runners
	sh bindings/node/test/all-runtimes.sh
	sh bindings/node/test/runners.sh
	cd examples/tokio && CARGO_TARGET_DIR=$(TARGET)/example-tokio $(CARGO) build -q --locked

dist: ## all packages, into target/dist
	$(MAKE) dist-node
	$(MAKE) dist-c
	$(MAKE) dist-packages
	$(MAKE) dist-python

release: dist ## `dist`, the crate, Debian packages, SBOMs, checksums, and the checks of cargo, PyPI and npm before publishing
	$(CARGO) build --release -p caster-cli
	CARGO="$(CARGO)" PYTHON="$(PYTHON)" NODE="$(NODE)" packaging/release.sh

dist-deb: libraries ## Debian packages for this kind of machine: libcaster0, libcaster-dev, caster
	$(CARGO) build --release -p caster-cli
	RELEASE="$(RELEASE)" DIST="$(TARGET)/dist" packaging/deb.sh

dist-node: ## the npm package with binaries for Linux x64 and arm64, glibc and musl
	sh bindings/node/scripts/dist.sh

dist-python: ## Python wheels for Linux x86_64 and aarch64, glibc and musl, abi3 and free-threaded, and the sdist
	PYTHON=$(PYTHON) sh bindings/python/scripts/dist.sh

dist-c: libraries ## the C library for this kind of machine, as a .tar.gz
	RELEASE="$(RELEASE)" caster-ffi/packaging/dist.sh

dist-command: ## the command with its manual pages and completions, for this kind of machine, as a .tar.gz
	CARGO="$(CARGO)" caster-cli/packaging/build.sh
	RELEASE="$(TARGET)/command/$$(uname -m)" caster-cli/packaging/dist.sh

dist-packages: $(VENV)/.ready dist-command ## the packages caster-cli for PyPI and npm that carry the command
	$(PY) caster-cli/packaging/packages.py $(TARGET)/command/*/caster

test-static: $(VENV)/.ready ## the static command in a system that has nothing else
	@echo "== The static command"
	$(PY) -m pytest -q -rs tests/command/static

# Not optimized: its 403 crates take ten minutes to build as it is, and it compares in two seconds.
$(TARGET)/tools/bin/cargo-semver-checks:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
	    $(CARGO) install -q cargo-semver-checks --version 0.51.0 --locked --root $(TARGET)/tools

SEMVER_BASE = $(or $(BASE),$(shell git describe --tags --abbrev=0 2>/dev/null),HEAD)

semver: $(TARGET)/tools/bin/cargo-semver-checks ## whether the core's API needs a new version since BASE: a commit; by default the last tag, else HEAD
	PATH="$(TARGET)/tools/bin:$$PATH" $(CARGO) semver-checks -p caster-core --baseline-rev $(SEMVER_BASE)

abi-baseline: libraries ## write tests/abi again, after functions were added to the C library
	tests/abi/run.sh $(RELEASE) --write

test-interop: $(VENV)/.ready test-python libraries ## every language and the original with each other
	@echo "== Interop"
	$(PY) -m pytest -q -rs tests/vectors tests/interop

differential: libraries ## COUNT=100000 datagrams through Caster and the original on three runtimes
	$(PYTHON) tests/reliability/differential/run.py $(RELEASE)/libcaster.so $(or $(COUNT),100000)

test-differential: ## 10,000 of them
	@echo "== Differential"
	$(MAKE) differential COUNT=10000

test-faults: $(VENV)/.ready libraries ## a node while system calls fail (strace), the clock jumps, queue and memory are full; CASTER_LONG=1 for more
	$(MAKE) faults

faults:
	@echo "== Faults of the system"
	$(PY) -m pytest -q -rs tests/reliability/faults

test-soak: $(VENV)/.ready libraries ## a group with accidents for a minute: its tables are the truth
	$(MAKE) short-soak

short-soak:
	@echo "== Soak"
	$(PY) -m pytest -q -rs tests/reliability/soak

coverage: ## the share of the core's lines that its tests run; fails below the floors
	@echo "== Coverage"
	$(PYTHON) tests/reliability/coverage.py

test-flood: $(VENV)/.ready libraries ## a node in a flood of new ids and junk
	@echo "== Flood"
	$(PY) -m pytest -q -rs tests/reliability/flood

test-foreign: ## the core on musl and, emulated, on arm64; the C library linked for Windows
	@echo "== Other machines"
	CARGO="$(CARGO)" tests/reliability/foreign.sh

bench: ## measure Caster and other libraries side by side, write docs/benchmarks (QUICK=1: three minutes, writes into target/bench)
	$(PYTHON) bench/run.py $(if $(QUICK),--quick)

test-instructions: ## how many instructions the hot paths take, against bench/instructions.json
	@echo "== Instructions"
	$(CARGO) build -q --release -p caster-bench
	$(PYTHON) bench/instructions.py $(RELEASE)/micro

instructions-baseline: ## write bench/instructions.json again
	$(CARGO) build -q --release -p caster-bench
	$(PYTHON) bench/instructions.py $(RELEASE)/micro --write

clean: ## remove what was built
	rm -rf $(TARGET)
