"""Predicates, mappers and event ids, compared with the SDK's own on generated cases."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.jsontext import ABSENT
from runs.manifests import canonical, mappers, predicates
from tests.runs import tenants

pytestmark = pytest.mark.node

words = st.sampled_from(["a", "b", "items", "total", "0", "1", "10", "é", "\U0001f600", "\uffee", "a b", "-1", "01"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
    | st.text(max_size=6).filter(lambda text: text.isprintable() or not text)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=10
)
paths = st.lists(
    words | st.sampled_from(["[0]", "[1]", "[ 1 ]", "[]", "[x]", "[0", ".", "length"]), max_size=4
).flatmap(
    lambda parts: st.sampled_from(["data", "metadata", "name", "emittedAt", "other"]).map(
        lambda root: "".join([root, *(part if part.startswith("[") else f".{part}" for part in parts)])
    )
)
sides = paths.map(lambda text: {"path": text}) | scalars.map(lambda value: {"lit": value}) | st.just({})
broken = st.none() | st.integers() | st.just([]) | st.just({}) | st.just("text") | st.just({"xor": []})
trees = st.recursive(
    st.sampled_from(["eq", "neq", "gt", "gte", "lt", "lte"]).flatmap(
        lambda op: st.tuples(sides, sides).map(lambda pair: {op: list(pair)})
    )
    | sides.map(lambda side: {"exists": side})
    | st.tuples(sides, st.lists(sides, max_size=3)).map(lambda both: {"in": list(both)})
    | broken,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts})
        | st.lists(inner, max_size=3).map(lambda parts: {"or": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=6,
)
maps = st.recursive(
    paths.map(lambda text: {"path": text}) | st.just({"passthrough": True}) | st.just({"passthrough": 1}) | broken,
    lambda inner: st.dictionaries(words, inner | scalars.map(lambda value: {"lit": value}), max_size=3).map(
        lambda members: {"object": members}
    ),
    max_leaves=6,
)
envelopes = st.fixed_dictionaries(
    {"name": words, "emittedAt": st.sampled_from(["2026-01-02T03:04:05.678Z", "later"])},
    optional={"data": values, "metadata": st.dictionaries(words, values, max_size=3)},
)


def ours(case: dict[str, Any]) -> dict[str, Any]:
    envelope = case["envelope"]
    answer: dict[str, Any] = {}
    try:
        answer["fits"] = {"value": predicates.evaluate(case["predicate"], envelope)}
    except predicates.PredicateError:
        answer["fits"] = {"error": True}
    try:
        value = mappers.project(case["mapper"], envelope)
        answer["input"] = {"absent": True} if value is ABSENT else {"value": value}
    except mappers.MapperError:
        answer["input"] = {"error": True}
    answer["id"] = canonical.event_id(envelope["name"], envelope["emittedAt"], envelope.get("data", ABSENT))
    return answer


def test_the_language_is_the_sdks() -> None:
    """On every generated case our answer is the SDK's: the same truth, the same input, the same id, or both refuse."""
    with subprocess.Popen(
        ["node", "compare.mjs"],
        cwd=tenants.installed(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin
        assert process.stdout
        requests, answers = process.stdin, process.stdout

        @settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.fixed_dictionaries({"predicate": trees, "mapper": maps, "envelope": envelopes}))
        def compare(case: dict[str, Any]) -> None:
            requests.write(json.dumps(case) + "\n")
            requests.flush()
            theirs, mine = json.loads(answers.readline(), parse_int=float), ours(case)
            assert json.loads(json.dumps(mine), parse_int=float) == theirs

        compare()
        requests.close()
