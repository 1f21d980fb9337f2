"""``dispatch``: plugins run in worker processes elsewhere, reached over signed HTTP.

A worker is a row in a dispatch namespace; an entry points to the row, so that no name from a request, a manifest or
another site ever decides where a request goes.
"""

from __future__ import annotations

import base64
import time

from django.conf import settings

from zelavis import encryption, workers
from zelavis.active import ActiveEntry
from zelavis.adapters import answers
from zelavis.adapters.base import Answer, Call, CallOutcome, Capabilities, DeployRefused, Order
from zelavis.adapters.http import ExchangeFailed, Reply, encode, exchange
from zelavis.errors import WorkerNotFound, ZelavisError
from zelavis.models import DispatchWorker

ACTIVATE = "/__zelavis/plugin/activate"
DEPLOY = "/__zelavis/plugin/deploy"
CALL = "/__zelavis/plugin/call"
PURGE = "/__zelavis/plugin/purge"
STOP = "/__zelavis/plugin/stop"


def send(worker: DispatchWorker, path: str, document: object, *, message_id: str, timeout_ms: int = 0) -> Reply:
    """One signed request to a worker.

    Raises:
        ExchangeFailed: no readable answer.
    """
    try:
        # A worker without a secret of its own shares the server's; without either, nothing is signed on this way.
        keys = workers.keys(worker, shared=settings.ENVIRONMENT.worker_secrets)
    except encryption.SecretUnreadable as error:
        raise ExchangeFailed(error.code, error.message, transient=False) from error
    return exchange(
        "POST",
        worker.base_url.rstrip("/") + path,
        encode(document),
        key=keys,
        message_id=message_id,
        timeout_ms=min(timeout_ms or worker.timeout_ms, worker.timeout_ms),
        max_bytes=worker.max_answer_bytes,
    )


def standard_request(order: Order) -> dict[str, object]:
    """The seed's activation request; ``specifier`` only when there is one."""
    return {
        "pluginName": order.name,
        "action": order.action,
        **({"specifier": order.specifier} if order.specifier else {}),
        "registry": order.registry,
    }


def call_document(entry: ActiveEntry, call: Call) -> dict[str, object]:
    """One call as it goes over the wire."""
    return {
        "id": call.id,
        "hook": call.hook,
        "event": call.event,
        "plugin": {"name": entry.name, "version": entry.version, "digest": entry.digest},
        "settings": entry.settings,
        "deadlineMs": call.deadline_ms,
        "now": call.now_ms,
        "correlation": call.correlation,
        "actor": call.actor,
        "depth": call.depth,
    }


class DispatchAdapter:
    """Asks a worker of a dispatch namespace."""

    name = "dispatch"
    title = "Dispatch"
    needs_worker = True
    capabilities = Capabilities(
        strategy="worker-boundary",
        supports_runtime_install=True,
        supports_uploaded_specifiers=True,
        supports_package_uploads=True,
        supports_isolated_execution=True,
        description="Plugins run in worker processes of a dispatch namespace, reached over signed HTTP. "
        "How well they are isolated from one another is the worker's affair.",
    )

    def missing(self) -> str:
        """A worker row is all it needs."""
        return "" if DispatchWorker.objects.exists() else "No worker is known: add one to a dispatch namespace."

    def deploy(self, order: Order) -> None:
        """Upload to workers that take uploads; others bring the plugin's code themselves."""
        worker = _worker(order.worker, order.name)
        if order.source is None:
            order.note("deployed", "The worker brings its own code.")
            return
        if not worker.takes_uploads:
            order.note("deployed", "The worker takes no uploads; it fetches the version itself.")
            return
        document = {
            "name": order.name,
            "version": order.version,
            "digest": order.entry_digest,
            "kind": order.kind,
            "manifest": order.manifest,
            "grants": order.grants,
            "source": base64.b64encode(order.source()).decode("ascii"),
        }
        started = time.monotonic()
        try:
            reply = send(worker, DEPLOY, document, message_id=f"{order.activation}-deploy")
            answers.read_deployment(reply, worker=worker.name, digest=order.entry_digest)
        except ExchangeFailed as error:
            order.note("upload", error.message, http_status=error.http_status, code=error.code)
            raise DeployRefused(error.message, reason=error.code) from error
        order.note("uploaded", str(worker), duration_ms=_since(started), http_status=reply.status)

    def activate(self, order: Order) -> Answer:
        """The seed's request to the seed's path."""
        try:
            worker = _worker(order.worker, order.name)
        except ZelavisError as error:
            return Answer(status="failed", code=error.code, message=error.message)
        try:
            reply = send(worker, ACTIVATE, standard_request(order), message_id=order.activation)
        except ExchangeFailed as error:
            return answers.unanswered(error)
        answer = answers.read_activation(reply, worker=worker.name)
        if answer.status == "active" and order.action == "uninstall" and order.purge and worker.takes_uploads:
            return self._purge(order, worker, answer)
        return answer

    def _purge(self, order: Order, worker: DispatchWorker, answer: Answer) -> Answer:
        """Data went to the worker with the code, so it goes from there too; a worker that kept none says 404."""
        try:
            reply = send(worker, PURGE, {"name": order.name}, message_id=f"{order.activation}-purge")
        except ExchangeFailed as error:
            return Answer(status="pending", code=error.code, message=f"Its data is not deleted yet: {error.message}")
        if reply.status in (200, 404):
            order.note("purged", f"at {worker}", http_status=reply.status)
            return answer
        return Answer(
            status="pending", code="worker_http_error", message="Its data is not deleted yet.", http_status=reply.status
        )

    def call(self, entry: ActiveEntry, call: Call) -> CallOutcome:
        """One event to the worker; the call's id makes it idempotent there."""
        started = time.monotonic()
        # Without the model's ordering, which would join the namespace into every call.
        worker = next(iter(DispatchWorker.objects.order_by().filter(pk=entry.worker or 0)[:1]), None)
        if worker is None:
            return CallOutcome(status="unreachable", error_code="worker_not_found", error_message="No worker is set.")
        document = call_document(entry, call)
        try:
            # The worker stops the plugin at the deadline; what is added here is the way there and back.
            reply = send(worker, CALL, document, message_id=call.id, timeout_ms=call.deadline_ms + 1000)
            return answers.read_call(reply, call_id=call.id)
        except ExchangeFailed as error:
            return answers.unanswered_call(error, duration_ms=_since(started))


def _worker(worker: DispatchWorker | None, plugin: str) -> DispatchWorker:
    if worker is None:
        raise WorkerNotFound(f"The plugin {plugin} names no worker of a dispatch namespace.")
    return worker


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
