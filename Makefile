# Causeway's commands: demo, test, walk, incidents, screenshots, run, bench, bench-screens, peers, fuzz, clean. Each installs what it lacks as root, or names the line that does.

# Outside the checkout, so that a fresh clone does not build DataFusion again.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/causeway/target

BINARIES := $(CARGO_TARGET_DIR)/release
# Always the whole workspace and the release profile: any other choice resolves other features and builds DataFusion twice.
CARGO_FLAGS := --release --locked --workspace

# The screens as the program embeds them; made anew when one of their sources is newer.
SCREENS := ui/dist/index.html
SCREENS_SOURCES := $(shell find ui/src -type f) ui/index.html ui/vite.config.ts ui/tsconfig.json

.PHONY: demo run test walk incidents screenshots build bench bench-screens peers fuzz clean tools-build tools-test

# A shop that breaks, its users, and Causeway to find out why; say DEMO_FLAGS="--scenario bad-deploy" for another incident.
DEMO_FLAGS ?=
demo: build
	$(BINARIES)/causeway demo $(DEMO_FLAGS)

run: build
	$(BINARIES)/causeway serve --data ./data

build: tools-build $(SCREENS)
	cargo build $(CARGO_FLAGS) --bins

ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json | tools-build
	cd ui && npm ci

$(SCREENS): $(SCREENS_SOURCES) ui/node_modules/.package-lock.json
	cd ui && npm run build

# Programs and tests are built at once: alone, the programs resolve other features of some crates, which would be built twice.
test: tools-build tools-test $(SCREENS)
	cd ui && npm test
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	cargo build $(CARGO_FLAGS) --bins --tests
	cargo test $(CARGO_FLAGS) --no-fail-fast
	cd ui && CAUSEWAY=$(BINARIES)/causeway npm run test:browser

# The part of `make test` that goes from Home to the verified fix in a real browser, while an incident of the demo happens.
walk: build tools-test
	cd ui && CAUSEWAY=$(BINARIES)/causeway npm run test:walk

# Each screen, dark and light, in three widths; SCREENSHOTS_URL shows a program that runs, such as `causeway open FILE`.
SCREENSHOTS_DIRECTORY ?= $(dir $(CARGO_TARGET_DIR))screenshots
SCREENSHOTS_URL ?=
screenshots: build tools-test
	cd ui && CAUSEWAY=$(BINARIES)/causeway npm run screenshots -- $(SCREENSHOTS_DIRECTORY) $(SCREENSHOTS_URL)

# How often the loop names the true cause of the demo's incidents; the recordings are kept, the first run takes about 35 minutes.
INCIDENTS_DIRECTORY ?= $(dir $(CARGO_TARGET_DIR))incidents
INCIDENTS_FLAGS ?=
incidents: build
	$(BINARIES)/causeway-incidents --causeway $(BINARIES)/causeway --cache $(INCIDENTS_DIRECTORY) $(INCIDENTS_FLAGS)

# Peers are measured in the same run once `make peers` has installed them; full run: about ten minutes with them.
BENCH_DIRECTORY ?= $(dir $(CARGO_TARGET_DIR))bench
BENCH_FLAGS ?=
bench: build
	cargo build $(CARGO_FLAGS) --example overhead
	$(BINARIES)/causeway-bench --causeway $(BINARIES)/causeway --kit $(BINARIES)/examples/overhead --peers $(BENCH_DIRECTORY)/peers --cache $(BENCH_DIRECTORY)/cache $(BENCH_FLAGS)

# How quick the screens are in a real browser: about a minute.
bench-screens: build tools-test
	@cd ui && CAUSEWAY=$(BINARIES)/causeway npm run --silent measure

peers:
	crates/bench/peers.sh $(BENCH_DIRECTORY)/peers

# Seconds for each fuzz target. What was found interesting is kept outside the checkout, so that the next run goes on from there.
# The decoders have no unsafe code: panics and overflows are looked for, and an address sanitizer would only slow that down. Without one
# neither a nightly compiler nor cargo-fuzz is needed.
FUZZ_SECONDS ?= 600
FUZZ_DIRECTORY ?= $(dir $(CARGO_TARGET_DIR))fuzz
FUZZ_CRATES := errors ingest logql promql store traceql
fuzz: tools-build
	set -e; for crate in $(FUZZ_CRATES); do \
		fuzz=crates/$$crate/fuzz; cp Cargo.lock $$fuzz/Cargo.lock; \
		RUSTC_WRAPPER=$(CURDIR)/crates/fuzz-rustc.sh RUSTFLAGS="--cfg fuzzing -Coverflow-checks -Cdebug-assertions" \
			cargo build --release --bins --manifest-path $$fuzz/Cargo.toml --target-dir $(FUZZ_DIRECTORY)/target; \
		for target in $$(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' $$fuzz/Cargo.toml); do \
			kept=$(FUZZ_DIRECTORY)/$$crate/$$target; mkdir -p $$kept/corpus $$kept/found; \
			$(FUZZ_DIRECTORY)/target/release/$$target -artifact_prefix=$$kept/found/ -max_total_time=$(FUZZ_SECONDS) $$kept/corpus; \
		done; done

clean:
	cargo clean

# $(call need,PROGRAM TO TRY,PACKAGES)
define need
	@{ $(1); } >/dev/null 2>&1 || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install --yes --no-install-recommends $(2); \
	else echo "this is missing, please run: sudo apt-get install $(2)"; exit 1; fi
endef

tools-build:
	@cargo --version >/dev/null 2>&1 || { echo "Rust 1.94 or newer is missing, please run: sudo apt-get install rustup && rustup default stable"; exit 1; }
	$(call need,cc --version && make --version,build-essential)
	$(call need,node --version && npm --version,nodejs npm)
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' || { echo "Node 20.19 or newer is needed for the screens, this is $$(node --version)"; exit 1; }

tools-test:
	$(call need,git --version,git)
	$(call need,python3 -c 'import venv$(comma) ensurepip',python3 python3-venv)
	$(call need,chromium --version,chromium)
	$(call need,ls /usr/lib/postgresql/*/bin/initdb && psql --version,postgresql)
	$(call need,redis-server --version && redis-cli --version,redis-server)
	$(call need,openssl version,openssl)
	$(call need,rsyslogd -v && logger --version,rsyslog bsdutils)

comma := ,
