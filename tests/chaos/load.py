"""Clients that start runs and send events while something is broken, and remember what they were promised."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from tests.chaos.cluster import Cluster


@dataclass
class Promise:
    """One run that was accepted, with what its client knows of it."""

    run_id: str
    workflow: str
    given: dict[str, Any]
    accepted_at: float = 0.0
    #: Payloads whose injection was answered with a receipt.
    sent: list[Any] = field(default_factory=list)


class Gone(Exception):
    """The load was stopped before this was accepted: nothing was promised."""


class Client:
    """Asks one web server after the other until one accepts: what a careful caller does. Not for several threads."""

    def __init__(self, cluster: Cluster, dice: random.Random, *, seconds: float = 60) -> None:
        self._cluster, self._dice, self._seconds = cluster, dice, seconds
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {cluster.token}"}, timeout=httpx.Timeout(8, connect=2), trust_env=False
        )
        #: Answers of the server that were an error of its own: (status, body).
        self.errors: list[tuple[int, str]] = []
        self.slowest = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def post(self, path: str, body: Any, **headers: str) -> dict[str, Any]:
        """Until it is accepted; the answer. A 4xx is never an answer to a good request."""
        give_up = time.monotonic() + self._seconds
        while True:
            url = self._cluster.urls[self._dice.choice(["web-1", "web-2"])]
            began = time.monotonic()
            try:
                answer = self._http.post(url + path, json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer is not None and answer.status_code < 300:
                return answer.json()  # type: ignore[no-any-return]
            if answer is not None:
                assert answer.status_code >= 500, f"{path}: {answer.status_code} {answer.text}"
                self.errors.append((answer.status_code, answer.text))
            assert time.monotonic() < give_up, f"{path} was not accepted: {answer and answer.text}"
            time.sleep(0.1)

    def trigger(self, run_id: str, workflow: str, given: dict[str, Any], *, wait: bool = False) -> Promise:
        """Start a run, however often it takes."""
        headers = {} if wait else {"Prefer": "respond-async"}
        self.post("/api/runs", {"workflowId": workflow, "runId": run_id, "input": given}, **headers)
        return Promise(run_id, workflow, given, time.monotonic())

    def event(self, promise: Promise, payload: Any, *, name: str = "go") -> dict[str, Any]:
        """Send an event under a key of its own, so that a repetition changes nothing."""
        receipt = self.post(
            f"/api/runs/{promise.run_id}/events?deliver=buffer",
            {"eventType": name, "payload": payload},
            **{"Idempotency-Key": f"key {payload}"},
        )
        assert receipt["disposition"] in ("matched", "buffered", "duplicate"), receipt
        promise.sent.append(payload)
        return receipt


class Load:
    """Some threads of clients, each living one life after the other, until :meth:`stop`."""

    def __init__(self, cluster: Cluster, name: str, seed: int, *, threads: int = 4, pause: float = 0.15) -> None:
        self.cluster, self.name, self.pause = cluster, name, pause
        self.promises: list[Promise] = []
        self.failures: list[BaseException] = []
        self.clients: list[Client] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._live, args=(random.Random(f"{seed}/{number}"), number), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> list[Promise]:
        """No more new runs; what was promised so far. Fails if a client was not served."""
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        if self.failures:
            raise self.failures[0]
        return self.promises

    def _live(self, dice: random.Random, number: int) -> None:
        client = Client(self.cluster, dice)
        self.clients.append(client)
        try:
            life = 0
            while not self._stop.wait(dice.uniform(0, 2 * self.pause)):
                life += 1
                self._one(client, dice, f"{self.name}-{number}-{life}")
        except BaseException as error:
            self.failures.append(error)
        finally:
            client.close()

    def _one(self, client: Client, dice: random.Random, run_id: str) -> None:
        given = {
            "steps": dice.randint(1, 5),
            "seconds": dice.choice([0.0, 0.01, 0.05]),
            "events": dice.choice([0, 0, 1, 2]),
            "sleep": dice.choice([0, 0, 0.05, 0.3]),
            "child": dice.random() < 0.3,
        }
        workflow = "chaos-load"
        if dice.random() < 0.2:
            workflow, given = "chaos-together", {"steps": given["steps"], "seconds": given["seconds"]}
        promise = client.trigger(run_id, workflow, given, wait=dice.random() < 0.5)
        with self._lock:
            self.promises.append(promise)
        for number in range(given.get("events", 0)):
            if dice.random() < 0.5:
                time.sleep(dice.uniform(0, 0.2))
            client.event(promise, f"{run_id}/{number}")
