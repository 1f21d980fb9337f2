#!/bin/sh
# Needs the PyPI package ziglang: pip install ziglang==0.17.0
set -eu
cd "$(dirname "$0")"
python3 -m ziglang cc -target wasm32-freestanding -Os -nostdlib -fno-builtin -Wl,--no-entry -Wl,-z,stack-size=16384 -s \
  plugin.c -o plugin.wasm
