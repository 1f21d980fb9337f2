"""Extism: compiled once, a fresh instance for every call, one host function. Arguments: calls, seconds, wasm."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import extism

from tests.benchmarks.harness import emit, measured
from tests.benchmarks.peers import work


@extism.host_fn(name="kv", signature=([extism.ValType.I64], [extism.ValType.I64]))
def kv(plugin: Any, given: Any, answer: Any, *data: Any) -> None:
    """Two of these a call."""
    plugin.return_bytes(answer[0], work.kv(plugin.input_bytes(given[0])))


def main() -> None:
    count, seconds, wasm = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).read_bytes()
    manifest = {"wasm": [{"data": wasm}], "memory": {"max_pages": 512}, "timeout_ms": 1000}
    text = json.dumps({"event": work.EVENT}).encode()
    compiled = extism.extism.CompiledPlugin(manifest, wasi=False, functions=[kv])

    def call() -> bytes:
        with extism.Plugin(compiled) as plugin:
            return bytes(plugin.call("hook", text))

    work.check(call())
    emit(measured("Extism, compiled plugin (C)", call, count=count, seconds=seconds, fresh="yes"))


if __name__ == "__main__":
    main()
