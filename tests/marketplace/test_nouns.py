"""Versions, manifests, settings schemas, capability deltas: parsers that strangers feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from marketplace import capabilities, manifest, names, settings_schema, versions
from marketplace.errors import InvalidManifest
from tests.marketplace import kit

_NUMBER = st.integers(0, 10**9 - 1)
_PART = st.one_of(
    st.integers(0, 10**6).map(str), st.from_regex(r"\A[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*\Z").map(lambda x: x[:8])
)
_PRE = st.lists(_PART.filter(lambda part: not part.isdigit() or part == str(int(part))), max_size=3).map(".".join)
VERSIONS = st.builds(
    lambda a, b, c, pre: f"{a}.{b}.{c}" + (f"-{pre}" if pre else ""), _NUMBER, _NUMBER, _NUMBER, _PRE
).filter(lambda text: len(text) <= 64)


@given(VERSIONS, VERSIONS)
def test_the_sort_key_orders_as_semver_does(one: str, two: str) -> None:
    """Text order of the keys is the order of the versions."""
    keys = versions.sort_key(one), versions.sort_key(two)
    assert (keys[0] < keys[1]) == (versions.parse(one) < versions.parse(two))
    assert max(map(len, keys)) <= 320


@given(st.text(max_size=30))
def test_versions_and_ranges_read_or_refuse(text: str) -> None:
    """Any text is a version or range, or a ValueError."""
    for read in (versions.parse, versions.check_range):
        try:
            read(text)
        except ValueError:
            continue


def test_ranges_mean_what_npm_means() -> None:
    """Caret, tilde, partial versions and lists of comparators."""
    cases = {
        ">=0.1,<1": ["0.1.0", "0.9.9"],
        "^1.2": ["1.2.0", "1.9.0"],
        "^0.2.3": ["0.2.3", "0.2.9"],
        "~1.2.3": ["1.2.3", "1.2.9"],
        "1": ["1.0.0", "1.2.9"],
        "=1.2.3": ["1.2.3"],
        ">1": ["2.0.0"],
        "<=1.2": ["1.2.9", "0.0.1"],
    }
    out = {">=0.1,<1": "1.0.0-beta", "^1.2": "2.0.0", "^0.2.3": "0.3.0", "~1.2.3": "1.3.0", "1": "2.0.0", ">1": "1.9.9"}
    for wanted, inside in cases.items():
        assert all(versions.satisfies(version, wanted) for version in inside), wanted
    for wanted, outside in out.items():
        assert not versions.satisfies(outside, wanted), wanted
    for bad in ("", "latest", ">=", "1.x", "v1", ">=1 <2", "1,,2", "^"):
        with pytest.raises(ValueError):
            versions.check_range(bad)


def bare(node: Any, at: str = "") -> Iterator[str]:
    """The members of a schema, at every depth, that say nothing of what they are."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    for name, below in node.items() if isinstance(node, dict) else ():
        # What stands under "properties" is the members by their names; one of them may have this name too.
        if name == "properties" and not at.endswith("/properties"):
            yield from (f"{at}/{member}" for member, told in below.items() if not told.keys() & {"description", "$ref"})
        yield from bare(below, f"{at}/{name}")


def test_the_published_schema_is_a_schema_and_agrees() -> None:
    """The schema is valid draft 2020-12, documents every member, and takes what the reader takes."""
    schema = manifest.schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(kit.manifest())
    assert list(bare(schema)) == []
    assert not Draft202012Validator(schema).is_valid(kit.manifest(capabilities={"root": {"reason": "x"}}))


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "A"}, "/name"),
        ({"name": "a--b"}, "/name"),
        ({"version": "1.0"}, "/version"),
        ({"version": "01.0.0"}, "/version"),
        ({"version": "1.0.0+build"}, "/version"),
        ({"entry": "../x.mjs"}, "/entry"),
        ({"entry": "a/../../x.mjs"}, "/entry"),
        ({"entry": "x.js"}, "/entry"),
        ({"title": "two\nlines"}, "/title"),
        ({"links": {"homepage": "javascript:alert(1)"}}, "/links/homepage"),
        ({"hooks": [{"name": "x"}, {"name": "x"}]}, "/hooks/1"),
        ({"routes": [{"path": "/../x", "methods": ["GET"]}]}, "/routes/0/path"),
        ({"schedules": [{"name": "n", "cron": "99 * * * *"}]}, "/schedules/0/cron"),
        ({"schedules": [{"name": "n", "cron": "* * * * *", "timezone": "Mars/X"}]}, "/schedules/0/timezone"),
        ({"capabilities": {"root": {"reason": "All of it."}}}, "/capabilities/root"),
        ({"capabilities": {"log": {"reason": "Writes."}}}, "/capabilities/log"),
        ({"capabilities": {"kv": {}}}, "/capabilities/kv"),
        ({"capabilities": {"kv": {"reason": "x" * 9, "callsPerInvocation": 0}}}, "/capabilities/kv/callsPerInvocation"),
        ({"capabilities": {"kv": {"reason": "x" * 9, "nope": 1}}}, "/capabilities/kv"),
        ({"compatibility": {"zelavis": "latest"}}, "/compatibility/zelavis"),
        ({"settings": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}},
         "/settings/properties/a/pattern"),
        ({"settings": {"$ref": "https://e.example/schema"}}, "/settings"),
        ({"manifestVersion": 2}, "/manifestVersion"),
        ({"extra": 1}, ""),
    ],
)  # fmt: skip
def test_a_manifest_problem_points_to_its_place(changes: dict[str, Any], pointer: str) -> None:
    """Each problem carries a JSON pointer to what is wrong."""
    with pytest.raises(InvalidManifest) as caught:
        manifest.parse(json.dumps(kit.manifest(**changes)).encode())
    assert pointer in [problem["pointer"] for problem in caught.value.members["errors"]]


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b"\xff", b'{"name": "a", "name": "b"}', b'{"a": NaN}', b"[" * 5000, b"{}" + b" " * 70_000],
)
def test_a_manifest_is_strict_json(raw: bytes) -> None:
    """Duplicate members, constants, depth, size and other encodings are refused."""
    with pytest.raises(InvalidManifest):
        manifest.parse(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_d11_any_settings_schema_is_judged(value: Any) -> None:
    """D11: any JSON is a settings schema or has problems; what has none gives a form and judges any values."""
    if not list(settings_schema.problems(value)):
        settings_schema.fields(value)
        settings_schema.value_problems(value, {"a": 1})


def test_settings_are_judged_by_their_schema() -> None:
    """Types, bounds, choices, formats, required and unknown names; a secret has no default and is named."""
    schema = {
        "type": "object",
        "required": ["key"],
        "properties": {
            "key": {"type": "string", "format": "secret"},
            "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "url": {"type": "string", "format": "uri"},
            "on": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        },
    }
    assert list(settings_schema.problems(schema)) == []
    assert settings_schema.secrets(schema) == {"key"}
    assert [field.kind for field in settings_schema.fields(schema)] == [
        "secret", "choice", "integer", "url", "boolean", "list",
    ]  # fmt: skip
    good = {"key": "k", "mode": "b", "size": 9, "url": "https://e.example", "on": True, "tags": ["x"]}
    assert settings_schema.value_problems(schema, good) == []
    for bad in ({}, {"key": 1}, {**good, "mode": "c"}, {**good, "size": True}, {**good, "size": 10}, {**good, "x": 1},
                {**good, "url": "javascript:1"}, {**good, "on": 1}, {**good, "tags": ["a", "b", "c"]}, []):  # fmt: skip
        assert settings_schema.value_problems(schema, bad), bad
    with_default = {"type": "object", "properties": {"k": {"type": "string", "format": "secret", "default": "x"}}}
    assert list(settings_schema.problems(with_default))


@pytest.mark.parametrize(
    ("before", "after", "escalates"),
    [
        (None, {}, False),
        (None, {"kv": {}}, True),
        ({"kv": {}}, {}, False),
        ({"kv": {"reason": "a"}}, {"kv": {"reason": "b"}}, False),
        ({"kv": {"bytes": 1}}, {"kv": {"bytes": 2}}, True),
        ({"kv": {"bytes": 2}}, {"kv": {"bytes": 1}}, False),
        ({"kv": {"bytes": 2}}, {"kv": {}}, True),
        ({"kv": {}}, {"kv": {"bytes": 2}}, False),
        ({"http": {"hosts": ["a.x", "b.x"]}}, {"http": {"hosts": ["b.x", "a.x"]}}, False),
        ({"http": {"hosts": ["a.x"]}}, {"http": {"hosts": ["a.x", "b.x"]}}, True),
        ({"http": {"hosts": ["*.x.y"]}}, {"http": {"hosts": ["a.x.y"]}}, False),
        ({"http": {"hosts": ["*.x.y"]}}, {"http": {"hosts": ["x.y"]}}, True),
        ({"http": {"hosts": ["*.x.y"]}}, {"http": {"hosts": ["evilx.y"]}}, True),
        ({"kv": {}, "blobs": {}}, {"kv": {}}, False),
        ({"secrets": {"names": ["A"]}}, {"secrets": {}}, False),
        ({"a": {"x": {"deep": 1}}}, {"a": {"x": {"deep": 2}}}, True),
    ],
)
def test_a_delta_escalates_when_anything_more_is_allowed(before: Any, after: Any, escalates: bool) -> None:
    """A new capability, a larger number, another host, a limit that fell away: escalation; nothing else is."""
    assert capabilities.delta(before, after)["escalates"] is escalates


def test_names_that_read_alike_share_a_skeleton() -> None:
    """Digits, hyphens and pairs of letters that read alike are folded; the distance counts single edits."""
    assert names.skeleton("w0rd-c0unt") == names.skeleton("word-count") == names.skeleton("wordcount")
    assert names.skeleton("modern") == names.skeleton("modem")
    assert names.distance("count", "coutn", most=1) == 1
    assert names.distance("count", "amount", most=1) == 2
