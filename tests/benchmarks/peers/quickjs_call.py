"""quickjs-rs: QuickJS in wasm, a fresh runtime and context for every call. Arguments: calls, seconds."""

from __future__ import annotations

import json
import sys

import quickjs_rs

from tests.benchmarks.harness import emit, measured
from tests.benchmarks.peers import work

PLUGIN = r"""
const WORDS = /\b[\p{L}\d]+\b/gu;
const ask = (op, ...args) => JSON.parse(kv(JSON.stringify({ op, args }))).value;
globalThis.run = (json) => {
  const event = JSON.parse(json);
  const saves = (ask("get", "saves") ?? 0) + 1;
  const text = event.content.body.replace(/<[^>]+>/g, "");
  ask("set", "saves", saves);
  return JSON.stringify({ id: event.id, saves, words: text.match(WORDS)?.length ?? 0, excerpt: text.slice(0, 60) });
};
0;
"""


def main() -> None:
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    text = json.dumps(json.dumps(work.EVENT))

    def call() -> str:
        with quickjs_rs.Runtime() as runtime, runtime.new_context() as context:
            context.register("kv", lambda request: work.kv(request).decode())
            context.eval(PLUGIN)
            return str(context.eval(f"run({text})"))

    work.check(call())
    emit(measured("quickjs-rs, fresh runtime", call, count=count, seconds=seconds, fresh="yes"))


if __name__ == "__main__":
    main()
