# Every target installs what it needs and says so; as root on Debian 12 or newer with Rust.
#
#   make demo            the gateway on real input, both encapsulations; KEEP=1 leaves it running
#   make test            all that CI runs; T=NAME runs the lab scenario(s) of that name only
#   make lint            formatting and clippy
#   make fuzz            every fuzz target, FUZZ_SECONDS each (default 60)
#   make bench           the standard profiles against testpmd: target/bench; BENCH=hot,mid runs those only
#   make gate            instructions per packet against bench/instructions.toml; a slowed or broken pipeline must be noticed
#   make million         a million routes over 1,000 VRFs, loaded, flapped ten times and withdrawn under a forwarding worker; then every
#                        table at the largest size that a node must carry
#   make stress          the tables against their models under concurrent readers, STRESS_SECONDS each (default 60)
#   make soak            both, then the lab scenarios again and again for SOAK_MINUTES (default 30)
#   make clean-lab       removes what an interrupted run may have left: namespaces, processes, run directories

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit gate fuzz lab lab-build bench million stress soak clean-lab

FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 30
STRESS_SECONDS ?= 60
BENCH ?=
T ?=

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@tests/setup

ifeq ($(T),)
test: setup lint unit gate fuzz lab
else
test: setup lab
endif

lint: setup
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked --features vrouter-agent/fault-injection -- -D warnings

unit: setup
	cargo test --workspace --locked --features vrouter-agent/fault-injection
	RUSTFLAGS="--cfg loom" cargo test --locked --target-dir target/loom -p engine --lib publish

gate: setup
	bench/gate
	bench/gate --broken
	bench/broken

fuzz: setup
	tests/fuzz/run $(FUZZ_SECONDS)

lab-build: setup
	cargo build --locked -p vrouter-agent --features fault-injection -p vrctl
	cargo build --locked -p liveness --example bfd-speak

lab: lab-build
	tests/run $(T)

demo: setup
	cargo build --release --locked -p vrouter-agent -p vrctl
	demo/demo

bench: setup
	cargo build --release --locked -p vrouter-bench -p vrouter-agent -p vrctl
	target/release/vrouter-bench --standard target/bench --duration 0.6 $(if $(BENCH),--only $(BENCH))

million: setup
	ROUTES=1000000 VRFS=1000 FLAPS=10 cargo test --release --locked -p vrouter-agent --test million -- --nocapture
	LIMITS=full cargo test --release --locked -p engine --lib limits -- --nocapture

stress: setup
	STRESS_SECONDS=$(STRESS_SECONDS) cargo test --release --locked -p engine -p vrouter-dp --lib -- --nocapture --test-threads 1 \
		sees_each_address_before_or_after packets_see_every_change under_concurrent_readers

soak: lab-build stress million
	tests/run --soak $(SOAK_MINUTES) $(T)

clean-lab:
	tests/run --clean
