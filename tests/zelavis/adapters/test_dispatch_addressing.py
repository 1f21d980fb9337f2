"""Where a request goes is decided by a row, and by nothing that a plugin, a manifest or a request says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tests.zelavis.adapters.conftest import make_call, make_entry, make_order
from zelavis import encryption
from zelavis.adapters.dispatch import DispatchAdapter
from zelavis.models import DispatchNamespace, DispatchWorker

Make = Callable[..., DispatchWorker]
adapter = DispatchAdapter()


@pytest.mark.parametrize(
    "name",
    [
        "../b",
        "a/b",
        "a%00b",
        "a\0b",
        "a b",
        "A",
        "Search",
        "-a",
        "a-",
        "a",
        "",
        "a" * 64,
        "ä-b",
        "a\n",
        "b?x=1",
        "b#c",
        "a.b",
    ],
)
def test_names_of_workers_and_namespaces_are_names(db: None, name: str) -> None:
    """Nothing that a URL, a path or a shell would read as more than a name gets into a row."""
    namespace = DispatchNamespace.objects.create(name="tests")
    with pytest.raises(ValidationError) as refused:
        DispatchWorker(namespace=namespace, name=name, base_url="http://127.0.0.1:1").full_clean()
    assert "name" in refused.value.message_dict
    with pytest.raises(ValidationError):
        DispatchNamespace(name=name).full_clean()


def test_a_plugins_name_does_not_choose_the_worker(faulty: str, make_worker: Make) -> None:
    """The plugin's name goes into the body alone: a hostile one reaches the same worker at the same path."""
    worker = make_worker(f"{faulty}/strict")
    make_worker(f"{faulty}/reset", name="other")
    answer = adapter.activate(make_order(worker=worker, name="../../other", specifier=""))
    assert answer.status == "active"
    assert '"pluginName":"../../other"' in answer.message


def test_one_name_in_two_namespaces_is_two_workers(faulty: str, make_worker: Make) -> None:
    """Names are unique in their namespace, and an entry points to the row and not to the name."""
    first = make_worker(f"{faulty}/good")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_worker(f"{faulty}/good")
    namespace = DispatchNamespace.objects.create(name="staging")
    second = DispatchWorker.objects.create(
        namespace=namespace, name="search", base_url=f"{faulty}/forged", secret=encryption.seal("k")
    )
    assert adapter.activate(make_order(worker=first)).status == "active"
    assert adapter.activate(make_order(worker=second)).code == "worker_bad_signature"


def test_a_worker_gets_its_own_entry_and_no_secret(faulty: str, make_worker: Make) -> None:
    """What goes out holds neither the worker's secret nor anybody else's entry."""
    worker = make_worker(f"{faulty}/strict")
    answer = adapter.activate(make_order(worker=worker))
    assert answer.status == "active"
    assert answer.message.count('"name"') == 1
    assert encryption.unseal(worker.secret) not in answer.message
    assert worker.secret not in answer.message


def test_an_entry_without_its_worker_is_unreachable(db: None) -> None:
    """A call for an entry whose worker is not there is an outcome with a code, and nothing is sent."""
    for worker in (None, 10**6):
        outcome = adapter.call(make_entry(worker=worker), make_call())
        assert (outcome.status, outcome.error_code) == ("unreachable", "worker_not_found")


def test_secrets_are_kept_encrypted(faulty: str, make_worker: Make) -> None:
    """The row holds no readable secret."""
    worker = make_worker(f"{faulty}/good", key="a very readable secret")
    assert "readable" not in DispatchWorker.objects.values_list("secret", flat=True).get(pk=worker.pk)
