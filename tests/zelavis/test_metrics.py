"""Figures for a monitoring system."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from sandbox.models import Invocation
from tests.test_documentation import page
from zelavis import heartbeat, metrics, tokens

pytestmark = pytest.mark.django_db


def read(client: Client, *, scope: str = "metrics:read", tenant: str = "") -> tuple[int, str]:
    """Status and text of a scrape."""
    _, secret = tokens.create("scrape", [scope], tenant=tenant)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    return answer.status_code, answer.content.decode()


def test_a_scrape_tells_what_is_there(client: Client) -> None:
    """Each line is a comment or a figure, and a part that is at work is among them."""
    heartbeat.record("worker")
    status, text = read(client)
    assert status == 200
    assert all(
        re.fullmatch(r'# (HELP|TYPE) .+|zelavis_\w+(\{\w+="[^"]+"\})? [0-9.e+-]+', line)
        for line in text.split("\n")[:-1]
    )
    assert re.search(r'^zelavis_part_seen_seconds_ago\{part="worker"\} \d', text, re.MULTILINE)
    assert "zelavis_runs_due 0\n" in text


def test_calls_are_counted_by_outcome(client: Client) -> None:
    """The calls of the last five minutes are counted, older ones are not."""
    for number, minutes in enumerate((1, 4, 6)):
        Invocation.objects.create(
            id=f"inv_{number}",
            plugin="p",
            version="1.0.0",
            digest="0" * 64,
            hook="h",
            status="trap",
            duration_ms=1.0,
            created_at=timezone.now() - timezone.timedelta(minutes=minutes),
        )
    assert 'zelavis_invocations_last_5_minutes{status="trap"} 2\n' in read(client)[1]


@pytest.mark.parametrize(("scope", "tenant"), [("runs:read", ""), ("metrics:read", "a-tenant")])
def test_only_who_may_see_the_whole_reads_it(client: Client, scope: str, tenant: str) -> None:
    """Neither a token without the scope nor one that is limited to a tenant gets a figure."""
    status, text = read(client, scope=scope, tenant=tenant)
    assert status == 403
    assert "zelavis_" not in text


def test_every_figure_is_documented() -> None:
    """Each name that a scrape can hold stands in docs/reference/metrics.md, and no other does."""
    made = {gauge.name for source in metrics.SOURCES for gauge in source()}
    assert set(re.findall(r"`(zelavis_\w+)`", page("metrics.md"))) == made
