"""The live log: a page that needs no script, and a stream for the script on it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from runs import follow
from runs.admin.pages import quoted
from runs.models import Run
from tests.runs.conftest import run
from zelavis.errors import TooManyRequests

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client) -> Client:
    """A superuser's session."""
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def test_the_page_holds_what_happened_without_a_script(browser: Client) -> None:
    """The log lists the run's events; while the run is active a script is named and told where to go on."""
    made = run("greet", input={"name": "Ada"})
    text = browser.get(reverse("admin:runs_run_log", args=[quoted(made["id"])])).content.decode()
    assert "step prepare done" in text
    assert 'aria-live="polite"' in text
    assert "runs/live-log.js" in text
    assert f'data-after="{Run.objects.get().next_seq - 1}"' in text
    assert "<script>" not in text


def test_the_stream_needs_no_token_but_a_session(browser: Client) -> None:
    """Somebody signed in follows a run from a number on; the stream of an ended run ends."""
    made = run("greet")
    Run.objects.update(status="cancelled")
    address = reverse("admin:runs_run_stream", args=[quoted(made["id"])])
    told = b"".join(browser.get(address)).decode()
    assert "event: journal" in told
    assert "event: end" in told
    assert "event: journal" not in b"".join(browser.get(address, {"after": "999"})).decode()
    assert Client().get(address).status_code == 302


def test_a_place_is_given_back_by_a_reader_that_never_read() -> None:
    """A client that is gone before the first event keeps no place: the next ones are served."""
    made = run("greet")["id"]
    Run.objects.update(status="cancelled")
    for _ in range(follow.MAX_READERS * 3):
        follow.one(made).close()
    readers = [follow.one(made) for _ in range(follow.MAX_READERS)]
    with pytest.raises(TooManyRequests):
        follow.one(made)
    for reader in readers:
        assert "event: end" in list(reader)[-1]
    follow.one(made).close()
