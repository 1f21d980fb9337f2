"""mini-racer: a fresh V8 isolate for every call, without host calls, for it has none. Arguments: calls, seconds."""

from __future__ import annotations

import json
import sys

from py_mini_racer import MiniRacer

from tests.benchmarks.harness import emit, measured
from tests.benchmarks.peers import work
from tests.benchmarks.peers.quickjs_call import PLUGIN


def main() -> None:
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    text = json.dumps(json.dumps(work.EVENT))

    def call() -> str:
        with MiniRacer() as isolate:
            isolate.eval("const kv = (request) => '{\"value\":1}';")
            isolate.eval(PLUGIN)
            return str(isolate.eval(f"run({text})"))

    work.check(call())
    emit(
        measured(
            "mini-racer (V8), fresh isolate",
            call,
            count=count,
            seconds=seconds,
            fresh="yes",
            note="no host calls",
            two=False,
        )
    )


if __name__ == "__main__":
    main()
