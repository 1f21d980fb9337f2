"""Plugins that start and signal runs: real plugins, approved and installed, called through real hooks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from runs import capabilities, inbox, lifecycle, records
from runs.models import Run
from sandbox import compiler, host
from sandbox.call import Call
from sandbox.capabilities import registry as sandbox_registry
from sandbox.capabilities.backends.database import DatabaseBackend
from sandbox.inspect import inspect
from sandbox.models import Invocation
from tests.runs.conftest import wake
from tests.sandbox.capabilities.harness import ask, code_of, make
from tests.zelavis.releases import approved
from tests.zelavis.test_sandbox_adapter import agreed
from zelavis import hooks, registry

pytestmark = pytest.mark.django_db

GRANTS = {
    "runs:trigger": {"reason": "Starts reviews.", "workflows": ["review-*"]},
    "runs:signal": {"reason": "Ends reviews.", "workflows": ["review-*"]},
}
MODULE = """
export default {
  hooks: {
    "content:afterSave": async (event, ctx) => {
      const { mode } = ctx.settings;
      const id = await ctx.runs.trigger("review-page", { page: event.id }, { tags: ["page"], ...ctx.settings.options });
      if (mode === "signal") await ctx.runs.signal(id, "approve", { by: ctx.plugin.name });
      if (mode === "throw") throw new Error("no");
      if (mode === "caught") {
        try { await ctx.runs.trigger("pay-salaries"); } catch (error) { return { id, code: error.code }; }
      }
      return { id };
    },
  },
};
"""
PAGE = {"collection": "flatpages.flatpage", "id": "7", "created": False, "content": {"id": "7"}}


@pytest.fixture(autouse=True)
def _reviews(workflow: Any) -> None:
    registry.forget_snapshot()
    workflow("review-page")(lambda context, given: [given, context.wait_for_signal("approve")])
    workflow("pay-salaries")(lambda context, given: None)


def installed(folder: Path, **settings: Any) -> None:
    """The plugin ``reviewer``, serving ``content:afterSave``."""
    approved(folder, name="reviewer", module=MODULE, capabilities=GRANTS, routes=[])
    assert agreed("reviewer").state == "active"
    registry.configure("reviewer", actor="user:ann", settings=settings)


def fired() -> Any:
    """The only outcome of a save."""
    (outcome,) = hooks.fire("content:afterSave", PAGE).outcomes
    return outcome


def test_a_hook_starts_a_run_that_a_worker_drives(tmp_path: Path) -> None:
    """The id that the plugin was told is a run of the plugin's tenant, with its input, its tags and its actor."""
    installed(tmp_path)
    told = fired().result["id"]
    run = Run.objects.get()
    assert (run.pk, run.tenant, run.workflow_id) == (told, "plugin:reviewer", "review-page")
    wake()
    record = records.load(told)
    assert (record["status"], record["input"]) == ("waiting", {"page": "7"})
    assert record["tags"] == ["plugin:reviewer", "page"]
    assert record["triggeredBy"] == {"kind": "api", "actor": "plugin:reviewer"}


def test_a_signal_reaches_the_run_of_the_same_call(tmp_path: Path) -> None:
    """Started and signalled in one call: the signal is kept until the run waits for it."""
    installed(tmp_path, mode="signal")
    told = fired().result["id"]
    wake()
    record = records.load(told)
    assert (record["status"], record["output"]) == ("completed", [{"page": "7"}, {"by": "reviewer"}])
    (receipt,) = inbox.receipts(told)
    assert receipt["disposition"] == "matched"


def test_a_call_that_fails_starts_nothing(tmp_path: Path) -> None:
    """What a call asked for before it threw was never there."""
    installed(tmp_path, mode="throw")
    assert fired().status != "ok"
    assert not Run.objects.exists()


def test_a_workflow_that_was_not_granted_is_refused(tmp_path: Path) -> None:
    """The plugin gets a code it can catch, the refusal is counted, and the granted run starts all the same."""
    installed(tmp_path, mode="caught")
    assert fired().result["code"] == "workflow_not_granted"
    assert Run.objects.get().workflow_id == "review-page"
    assert Invocation.objects.get(hook="content:afterSave").refusals == 1


def test_a_key_makes_one_run_of_many_calls(tmp_path: Path) -> None:
    """Three saves with one key are one run; each call is told its id."""
    installed(tmp_path, options={"key": "page 7"})
    assert len({fired().result["id"] for _ in range(3)}) == 1
    assert Run.objects.count() == 1


def test_a_wasm_plugin_starts_a_run() -> None:
    """A module that imports ``zelavis_v1.runs_trigger`` needs the capability, and with it starts a run."""
    request, answer = b'{"op":"trigger","args":["review-page"]}', b'{"ok":1}'
    text = f"""(module
      (import "zelavis_v1" "runs_trigger" (func $t (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (data (i32.const 16) "{_escaped(request)}") (data (i32.const 512) "{_escaped(answer)}")
      (func (export "zelavis_alloc") (param i32) (result i32) (i32.const 65536))
      (func (export "zelavis_call") (param i32 i32) (result i64)
        (drop (call $t (i32.const 16) (i32.const {len(request)}) (i32.const 1024) (i32.const 4096)))
        (i64.or (i64.shl (i64.const 512) (i64.const 32)) (i64.const {len(answer)}))))"""
    source = bytes(wasmtime.wat2wasm(text))
    assert "runs:trigger" in inspect(source, kind="wasm").capabilities
    artifact = compiler.deploy(source, kind="wasm")
    call = Call(id="inv_wasm", plugin="reviewer", version="1.0.0", hook="go")
    assert host.execute(artifact, call, grants={}).refusals
    assert not Run.objects.exists()
    outcome = host.execute(artifact, dataclasses.replace(call, id="inv_wasm2"), grants=GRANTS)
    assert outcome.ok, outcome
    assert Run.objects.get().pk == "run-inv_wasm2-1"


def _escaped(text: bytes) -> str:
    return "".join(f"\\{octet:02x}" for octet in text)


def session(invocation: str = "inv_1", plugin: str = "reviewer", **grants: Any) -> Any:
    """A call's host side, with the real database behind it."""
    return make(grants or GRANTS, backend=DatabaseBackend(), plugin=plugin, id=invocation)


def test_an_invocation_that_is_committed_twice_acts_once() -> None:
    """The same invocation again starts no second run and sends no second signal."""
    for _ in range(2):
        call = session()
        run_id = ask(call, "runs_trigger", "trigger", "review-page", {"n": 1})
        ask(call, "runs_signal", "signal", run_id, "approve", "yes")
        call.commit()
    assert Run.objects.count() == 1
    assert len(inbox.receipts(run_id)) == 1


def test_a_plugin_reaches_its_own_tenants_runs_only(rules: Any) -> None:
    """A run of another tenant or of another workflow is not there; an operator may give a plugin a tenant."""
    mine = {"tenantId": "acme", "projectId": "p", "organizationId": "o"}
    theirs = lifecycle.trigger("review-page", tenant_meta=mine).run_id
    salaries = lifecycle.trigger("pay-salaries", tenant_meta={**mine, "tenantId": "plugin:reviewer"}).run_id
    for run_id in (theirs, salaries, "nowhere", "a\x00b"):
        assert code_of(session(), "runs_signal", "signal", run_id, "approve") == "not_found"
    rules(plugin_tenants={"reviewer": "acme"})
    call = session()
    ask(call, "runs_signal", "signal", theirs, "approve")
    call.commit()
    assert len(inbox.receipts(theirs)) == 1
    assert code_of(session(plugin="other"), "runs_signal", "signal", theirs, "approve") == "not_found"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), "invalid_argument"),
        ((5,), "invalid_argument"),
        (("review-page", {}, {"nope": 1}), "invalid_argument"),
        (("review-page", {}, {"tags": ["x"] * 21}), "invalid_argument"),
        (("review-page", {}, {"delaySeconds": -1}), "invalid_argument"),
        (("review-page", {}, {"key": ""}), "invalid_key"),
        (("review-page", {}, {}, 4), "invalid_argument"),
        (("review-page", "x" * 600_000), "value_too_large"),
        (("review-lost",), "workflow_not_found"),
    ],
)
def test_arguments_are_checked(args: tuple[Any, ...], code: str) -> None:
    """What cannot be used is told to the plugin, and nothing is started."""
    call = session()
    assert code_of(call, "runs_trigger", "trigger", *args) == code
    call.commit()
    assert not Run.objects.exists()


def test_quantities_end_a_plugin_in_a_loop() -> None:
    """Calls beyond ``callsPerInvocation`` are refused."""
    call = session(**{"runs:trigger": {"reason": "r", "workflows": ["*"], "callsPerInvocation": 2}})
    codes = [code_of(call, "runs_trigger", "trigger", "review-page") for _ in range(3)]
    assert codes == ["", "", "calls_exceeded"]
    call.commit()
    assert Run.objects.count() == 2


def test_a_key_with_another_input_is_a_conflict() -> None:
    """In one call it is told at once; between calls the later one fails whole and starts nothing."""
    call = session()
    ask(call, "runs_trigger", "trigger", "review-page", 1, {"key": "k"})
    assert code_of(call, "runs_trigger", "trigger", "review-page", 2, {"key": "k"}) == "run_conflict"
    call.commit()
    later = session("inv_2")
    ask(later, "runs_trigger", "trigger", "review-page", 2, {"key": "k"})
    with pytest.raises(Exception, match="another input"):
        later.commit()
    assert Run.objects.count() == 1


def test_without_a_database_nothing_is_started() -> None:
    """An author who tries a plugin sees an id, and no run."""
    call = make(GRANTS)
    assert ask(call, "runs_trigger", "trigger", "review-page").startswith("run-inv_1-")
    call.commit()
    assert not Run.objects.exists()


def test_consent_names_the_workflows() -> None:
    """Both are high risks, and the words of the consent name what may be started."""
    for name in ("runs:trigger", "runs:signal"):
        capability = sandbox_registry.get(name)
        assert capability is not None
        assert (capability.risk_level, capability.import_name) == ("high", name.replace(":", "_"))
        assert "review-*" in capability.explain(GRANTS[name])
        assert capability.schema()["required"] == ["reason", "workflows"]
    assert capabilities.tenant_of("reviewer") == "plugin:reviewer"
