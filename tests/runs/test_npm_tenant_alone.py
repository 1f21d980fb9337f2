"""The npm tenant by itself, so that what the end-to-end suite builds on is known to hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runs import tenants

pytestmark = pytest.mark.node

SIGNATURE = "/7G24o4x28xwwy9XlL4Ii4FxD36KAKBBvNtXxnOLzAs="
SIGNED = (
    b'{"protocolVersion":1,"runId":"a61","workflowId":"wait-event","workflowVersion":"v1","invocationCount":1,'
    b'"input":null,"journal":{"stepResults":{},"waitpointsResolved":{},"compensationsRun":{},"metadataState":{},'
    b'"streamsCompleted":{}},"environment":"development","deadline":9007199254740991,"tenantMeta":{"tenantId":'
    b'"tnt_demo","projectId":"prj_demo","organizationId":"org_demo"},"runMeta":{"number":1,"attempt":1,'
    b'"triggeredBy":{"kind":"api"},"tags":[],"startedAt":1795229867996}}'
)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tenants.Tenant]:
    with tenants.running(tmp_path_factory.mktemp("tenant") / "ran.jsonl") as running:
        yield running


def request(workflow: str, value: Any = None, **members: Any) -> bytes:
    body = json.loads(SIGNED) | {"workflowId": workflow, "input": value} | members
    return json.dumps(body).encode()


def test_the_signature_vector_opens_the_tenant(tenant: tenants.Tenant) -> None:
    """The published signature of the published body is the one we compute, and the SDK's verifier accepts it."""
    assert tenants.sign(SIGNED) == SIGNATURE
    answer = tenant.step(SIGNED, SIGNATURE)
    assert answer.status_code == 200
    assert [wait["clientWaitpointId"] for wait in answer.json()["waitpoints"]] == ["event:greet:1"]


@pytest.mark.parametrize("signature", [None, "AAAA", "not base64!", tenants.sign(SIGNED, "another")])
def test_other_signatures_do_not(tenant: tenants.Tenant, signature: str | None) -> None:
    """Without the right signature the tenant answers 401 and runs nothing."""
    assert tenant.step(SIGNED, signature).status_code == 401


def test_a_changed_byte_does_not(tenant: tenants.Tenant) -> None:
    """The signature covers the exact bytes."""
    assert tenant.step(SIGNED.replace(b'"a61"', b'"a62"'), SIGNATURE).status_code == 401


def test_an_unknown_workflow_is_named(tenant: tenants.Tenant) -> None:
    """The tenant says never to a workflow it does not have."""
    body = request("nope")
    answer = tenant.step(body, tenants.sign(body))
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "workflow_not_found",
        "message": 'workflow "nope" is not registered in this bundle',
    }


def test_another_protocol_is_refused(tenant: tenants.Tenant) -> None:
    """Version 2 is answered with 426."""
    body = request("echo", protocolVersion=2)
    answer = tenant.step(body, tenants.sign(body))
    assert (answer.status_code, answer.json()["message"]) == (426, "tenant supports protocol 1, got 2")


def test_it_writes_down_what_ran(tenant: tenants.Tenant) -> None:
    """The independent log counts the steps that really ran."""
    body = request("plain", {"x": 2}, runId="logged")
    answer = tenant.step(body, tenants.sign(body)).json()
    assert answer["output"] == {"total": 108, "note": "héllo ✓"}
    assert tenant.ran("logged") == {"a": 1, "b": 1, "c": 1}


def test_it_can_be_told_to_fail(tenant: tenants.Tenant) -> None:
    """Faults last as long as asked, and no longer."""
    body = request("echo", 1)
    tenant.fault("status", value=503, times=2)
    assert [tenant.step(body, tenants.sign(body)).status_code for _ in range(3)] == [503, 503, 200]


def test_its_manifest_is_the_sdks(tenant: tenants.Tenant) -> None:
    """Filters and schedules stand in the manifest that the SDK builds."""
    manifest = tenant.manifest("development")
    assert len(manifest["versionId"]) == 16
    assert {entry["eventType"] for entry in manifest["eventFilters"]} == {"order.paid"}
    ticking = next(workflow for workflow in manifest["workflows"] if workflow["id"] == "ticking")
    assert ticking["schedules"] == [{"every": "1s", "input": {"from": "the clock"}, "name": "tick"}]
