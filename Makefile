# Every command that people or CI run. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# rustup writes its PATH into login files, which a shell that was open before has not read.
export PATH := $(PATH):$(HOME)/.cargo/bin

RELEASE := cargo build --release --locked -p countersign-writer -p countersign-reader \
	-p countersign-loadtests

.PHONY: help run clean-run test compat clients fuzz races lint check bench bench-reader bench-sets bench-api load drill cdn alerts drills soak fmt

help: ## List the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

run: ## Build and start a writer, a reader and their PostgreSQL, with real collections
	@exec deploy/dev/run.sh

clean-run: ## Forget the state of `make run`: database, keys, configuration, logs
	@exec deploy/dev/clean-run.sh

test: ## Run all tests, with a private PostgreSQL unless TEST_DATABASE_URL is set
	@deploy/dev/install.sh
	@if cargo nextest --version >/dev/null 2>&1; then \
		exec deploy/dev/with-postgres.sh cargo nextest run --workspace --locked; \
	else \
		exec deploy/dev/with-postgres.sh cargo test --workspace --locked; \
	fi

compat: ## Compare the writer with Kinto, request by request (REQUESTS=2000 for a quick look)
	@exec deploy/dev/compat.sh

clients: ## Run the tests of Kinto's clients, and other people's tools, against the writer
	@exec deploy/dev/clients.sh

fuzz: ## Send arbitrary input to the writer, SECONDS=600 for each kind of input, two at a time
	@deploy/dev/install.sh
	@COUNTERSIGN_FUZZ_SECONDS=$(or $(SECONDS),600) exec deploy/dev/with-postgres.sh cargo test --locked \
		-p countersign-writer --test it -- fuzz:: --nocapture --test-threads=2

races: ## Reviewers, editors, rollbacks meet, ROUNDS=200 each; HISTORIES=200 at random; OUTAGE=60 s of the signer
	@deploy/dev/install.sh
	@COUNTERSIGN_RACE_ROUNDS=$(or $(ROUNDS),200) COUNTERSIGN_HISTORIES=$(or $(HISTORIES),200) \
		COUNTERSIGN_TEST_OUTAGE_SECONDS=$(or $(OUTAGE),60) \
		exec deploy/dev/with-postgres.sh cargo test --locked -p countersign-writer --test it -- \
		signoff_races:: signoff_histories:: signing_races:: --nocapture --test-threads=1

lint: ## Check format, lints, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
		set -x; cargo deny check bans licenses sources; \
	else \
		echo 'cargo-deny is not installed: skipped the check of dependencies and their licences'; \
	fi

check: ## Lint, then test: all that CI runs
	@$(MAKE) lint
	@$(MAKE) test

bench: ## Measure signing, publications, a reader beside nginx, a writer beside Kinto (REFERENCE_BIN: docs/performance.md)
	@deploy/dev/install.sh nginx wrk
	$(RELEASE)
	@deploy/dev/bench-signing.sh
	@deploy/dev/bench.sh
	@deploy/dev/bench-reader.sh
	@deploy/dev/bench-sets.sh
	@exec deploy/dev/bench-api.sh

bench-reader: ## Of `make bench`, only a reader beside nginx with the same bytes
	@deploy/dev/install.sh nginx wrk
	$(RELEASE)
	@exec deploy/dev/bench-reader.sh

bench-sets: ## Of `make bench`, only what a large set costs a reader: its start, its memory, its list, its deltas
	@deploy/dev/install.sh wrk
	$(RELEASE)
	@exec deploy/dev/bench-sets.sh

bench-api: ## Of `make bench`, only the writer beside Kinto
	@deploy/dev/install.sh
	$(RELEASE)
	@exec deploy/dev/bench-api.sh

load: ## Let clients of every kind come to a reader, RATE=2000 a second for DURATION=10 s each
	@deploy/dev/install.sh nginx
	$(RELEASE)
	@exec deploy/dev/load.sh

drill: ## Break things on purpose: kill servers and the database, and check what clients see
	@deploy/dev/install.sh
	$(RELEASE)
	cargo build --locked -p countersign-writer
	@exec deploy/dev/drill.sh

cdn: ## Try Varnish and nginx, with the configurations of deploy/, before a reader and a writer
	@deploy/dev/install.sh nginx varnish
	$(RELEASE)
	@exec deploy/dev/cdn.sh

alerts: ## Check and try the alert rules with Prometheus' own tool
	@deploy/dev/install.sh promtool
	@cd deploy/prometheus && promtool check rules alerts.yml && promtool test rules alerts-test.yml

drills: ## Break databases and what lies between, DURATION=600 s of publications, and check each answer
	@deploy/dev/install.sh pgbouncer faketime
	@DRILL_SECONDS=$(or $(SECONDS),10) DRILL_DURATION=$(or $(DURATION),600) \
		DRILL_KILLS=$(or $(KILLS),50) DRILL_FLOOD=$(or $(FLOOD),100000) DRILL_LONGEST_MS=$(or $(LONGEST_MS),500) \
		exec deploy/dev/with-postgres.sh deploy/dev/drills.sh

soak: ## Publish and poll for SOAK_MINUTES=60, verify each answer, and see whether the servers grow
	@deploy/dev/install.sh
	$(RELEASE)
	@exec deploy/dev/soak.sh

fmt: ## Format the code
	cargo fmt --all
