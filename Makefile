# Every command a person or CI may run. `make` alone lists them.
#   make up RELEASE=1     the stack on which figures are taken
#   make down FRESH=1     forgets the data, too
#   make demo BASE_PORT=9500, or up, where 8000 and what follows is taken

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo up down status check test e2e drill pictures bench jaeger image release prepare fmt

PROFILE := $(if $(RELEASE),release,debug)
CARGO_PROFILE := $(if $(RELEASE),--release,)
SHOP := target/$(PROFILE)/shop
HOME_DIR := .shop
AT := $(if $(BASE_PORT),--base-port $(BASE_PORT),)
# The debug build has the features of the tests (that is what naming a test does), so that
# `make test` after it compiles no dependency a second time.
PROGRAMS := $(if $(RELEASE),-p shop -p order-svc -p payment-svc -p inventory-svc -p notify-svc -p gateway -p outbox-relay -p simulator -p smtp-sink,--workspace --bins --test tidy)

help: ## list targets
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /\1\t/' | expand -t 10

setup: ## install what is missing (apt where it may be used; otherwise it says what to install)
	@deploy/setup

build: setup
	@test -x $(SHOP) || echo "building everything: 5 to 10 minutes the first time, 3 GB in target/"
	@cargo build $(if $(wildcard $(SHOP)),--quiet,) --locked $(CARGO_PROFILE) $(PROGRAMS)

demo: build ## build, start everything, place orders of every kind, show them move
	@$(SHOP) --home $(HOME_DIR) demo $(AT)

up: build ## start PostgreSQL, Kafka and the shop, and leave them running
	@$(SHOP) --home $(HOME_DIR) up --detach $(AT)

down: build ## stop them (FRESH=1 forgets the data)
	@$(SHOP) --home $(HOME_DIR) down $(if $(FRESH),--fresh,)

status: build ## what runs, and where
	@$(SHOP) --home $(HOME_DIR) status

check: build ## format, lints, tidy, .sqlx, events, dependencies: no network services
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --test tidy
	cd proto && npm install --no-package-lock --silent --no-fund --no-audit && npm run --silent lint && npm run --silent breaking
	target/debug/with-postgres deploy/prepare --check
	deploy/prometheus/check
	deploy/bill-of-materials target/bill-of-materials
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

test: build ## all tests but the drill: in containers, where an engine answers (SHOP_BACKEND=kafka: not there)
	SHOP_BACKEND=$$(deploy/backend) cargo test --locked --workspace

e2e: build ## only the whole shop, with outages
	SHOP_BACKEND=$$(deploy/backend) cargo test --locked --workspace --test whole_shop

drill: build ## raise the alerts for real, and see them clear (Prometheus)
	cargo test --locked --workspace --test whole_shop -- --ignored drills

pictures: build ## take README's pictures again (Chromium, Jaeger)
	@deploy/pictures

bench: setup ## the benchmarks, with their ratios
	@deploy/bench

jaeger: ## build Jaeger with Go and keep it for `up`: once on a machine, some minutes
	@deploy/jaeger/build

image: ## build the image of all programs, from source (deploy/image target/debug: from those that are built)
	@deploy/image

release: ## what a release consists of, in dist/: programs, image, bill of materials, licences, notes, checksums
	@deploy/release

prepare: build ## refresh .sqlx, and the documents that are made of the programs
	target/debug/with-postgres deploy/prepare
	target/debug/write-documents
	WRITE_DOCS=1 cargo test --locked --workspace --test tidy the_page_of

fmt: ## format everything
	cargo fmt --all
