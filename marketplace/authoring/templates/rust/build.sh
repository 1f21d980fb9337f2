#!/bin/sh
# Needs rustc with the target wasm32-unknown-unknown and a wasm linker (on Debian: rustc libstd-rust-dev-wasm32 lld-14).
set -eu
cd "$(dirname "$0")"
"${RUSTC:-rustc}" --target wasm32-unknown-unknown --crate-type cdylib --edition 2021 -C opt-level=s -C panic=abort \
  -C lto=fat -C strip=symbols -C linker="${WASM_LD:-wasm-ld-14}" plugin.rs -o plugin.wasm
