"""``cloudflare``: plugins run as scripts of a Workers-for-Platforms dispatch namespace.

A version is uploaded under a name of its own, so that the version before keeps answering until the new one is proven
and a roll back moves a pointer. Requests go through the operator's dispatch Worker, which finds the script by the
first segment of the path. Everything of the platform stands in this file, ``cloudflare_api`` and the small module that
is uploaded in front of the plugin.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from functools import cache
from pathlib import Path

from django.conf import settings

from zelavis.active import ActiveEntry
from zelavis.adapters import answers
from zelavis.adapters import cloudflare_api as platform
from zelavis.adapters.base import Answer, Call, CallOutcome, Capabilities, DeployRefused, Order
from zelavis.adapters.dispatch import ACTIVATE, CALL, call_document, standard_request
from zelavis.adapters.http import ExchangeFailed, Reply, encode, exchange, json_object
from zelavis.errors import ZelavisError

#: Behaviour of the Workers runtime that the uploaded module was written for.
COMPATIBILITY_DATE = "2025-09-01"
#: From the first connect to the last byte of an activation.
ACTIVATE_TIMEOUT_MS = 10_000
MAX_ANSWER = 1 << 20
#: What a plugin gets in a script without anything of ours on the other side.
AVAILABLE = frozenset({"log", "crypto"})
_MODULE = "application/javascript+module"


class PluginNotSupported(DeployRefused):
    """This adapter cannot give the plugin what it needs."""

    code = "plugin_not_supported"


class CloudflareAdapter:
    """Uploads scripts, calls them through the dispatch Worker, takes them away."""

    name = "cloudflare"
    title = "Cloudflare"
    needs_worker = False
    capabilities = Capabilities(
        strategy="worker-boundary",
        supports_runtime_install=True,
        supports_uploaded_specifiers=False,
        supports_package_uploads=True,
        supports_isolated_execution=True,
        description="JavaScript plugins run as scripts of a Workers-for-Platforms namespace, one script a version, "
        "isolated from one another by the platform and not anew for each call. Plugins that need a capability of this "
        "server (key-value store, documents, content …) cannot run there; what a script may fetch is decided by the "
        "outbound Worker of the namespace.",
    )

    def missing(self) -> str:
        """The variables that are not set."""
        environment = settings.ENVIRONMENT
        lacking = [
            variable
            for variable, value in (
                ("ZELAVIS_CLOUDFLARE_ACCOUNT_ID", environment.cloudflare_account_id),
                ("ZELAVIS_CLOUDFLARE_API_TOKEN", environment.cloudflare_api_token),
                ("ZELAVIS_CLOUDFLARE_NAMESPACE", environment.cloudflare_namespace),
                ("ZELAVIS_CLOUDFLARE_DISPATCH_URL", environment.cloudflare_dispatch_url),
            )
            if not value
        ]
        return f"Not set: {', '.join(lacking)}." if lacking else ""

    def deploy(self, order: Order) -> None:
        """Upload the version with our module in front of it. The same version again is the same script again."""
        if lacking := self.missing():
            raise DeployRefused(lacking)
        if order.source is None:
            raise PluginNotSupported("Cloudflare runs releases of the marketplace; this plugin has none.")
        if order.kind != "javascript":
            raise PluginNotSupported("Cloudflare runs JavaScript plugins; this one is WebAssembly of our own ABI.")
        denied = sorted(set(order.grants) - AVAILABLE)
        if denied:
            raise PluginNotSupported(
                f"A script at Cloudflare has no {', '.join(denied)}; use the sandbox or a dispatch worker."
            )
        source = order.source()
        if hashlib.sha256(source).hexdigest() != order.entry_digest:
            raise DeployRefused("The entry file is not the one that was approved.", expected=order.entry_digest)
        order.note("verified", f"sha256:{order.entry_digest}")
        script = script_name(order.name, order.entry_digest)
        about = {"name": order.name, "version": order.version, "digest": order.entry_digest}
        metadata = {
            "main_module": "worker.mjs",
            "compatibility_date": COMPATIBILITY_DATE,
            "bindings": [
                {"type": "secret_text", "name": "ZELAVIS_KEY", "text": script_key(script)},
                {"type": "plain_text", "name": "ZELAVIS_PLUGIN", "text": json.dumps(about)},
            ],
            "tags": [_tag("installation"), _tag("plugin", order.name)],
        }
        modules = [
            platform.Module(name="worker.mjs", media_type=_MODULE, content=front()),
            platform.Module(name="plugin.mjs", media_type=_MODULE, content=source),
        ]
        started = time.monotonic()
        try:
            reply = platform.upload(script, metadata=metadata, modules=modules, key=f"{order.activation}-deploy")
        except DeployRefused as error:
            order.note("upload", error.message, duration_ms=_since(started), code=error.code)
            raise
        order.note("uploaded", script, duration_ms=_since(started), http_status=reply.status)

    def activate(self, order: Order) -> Answer:
        """The seed's request through the dispatch Worker; after an uninstall the plugin's scripts go."""
        if lacking := self.missing():
            return Answer(status="failed", code="adapter_not_configured", message=lacking)
        answer = self._ask(order)
        if order.action != "uninstall" or (answer.status == "pending" and answer.http_status == 200):
            return answer
        if answer.status != "active":
            # A plugin that fails to say goodbye goes all the same.
            order.note("farewell", answer.message, http_status=answer.http_status, code=answer.code)
        try:
            gone = self._take_away(order)
        except platform.CloudflareUnavailable as error:
            return Answer(status="pending", code=error.code, message=error.message)
        except ZelavisError as error:
            return Answer(status="failed", code=error.code, message=error.message)
        order.note("deleted", ", ".join(gone) or "There was nothing to delete.")
        return Answer(status="active", http_status=answer.http_status)

    def call(self, entry: ActiveEntry, call: Call) -> CallOutcome:
        """One event to the script of the version that serves."""
        started = time.monotonic()
        if lacking := self.missing():
            return CallOutcome(status="unreachable", error_code="adapter_not_configured", error_message=lacking)
        script = script_name(entry.name, entry.digest)
        try:
            reply = _send(script, CALL, call_document(entry, call), key=call.id, timeout_ms=call.deadline_ms + 1000)
            if _limit_exceeded(reply):
                return CallOutcome(
                    status="deadline",
                    error_code="limit_exceeded",
                    error_message="The script used up the limits that the dispatch Worker sets.",
                    duration_ms=_since(started),
                )
            return answers.read_call(reply, call_id=call.id)
        except ExchangeFailed as error:
            return answers.unanswered_call(error, duration_ms=_since(started))

    def _ask(self, order: Order) -> Answer:
        script = script_name(order.name, order.entry_digest)
        try:
            reply = _send(
                script, ACTIVATE, standard_request(order), key=order.activation, timeout_ms=ACTIVATE_TIMEOUT_MS
            )
        except ExchangeFailed as error:
            return answers.unanswered(error)
        return answers.read_activation(reply, worker=script)

    def _take_away(self, order: Order) -> list[str]:
        # The list is the platform's: only names that this installation gives to versions of this plugin are deleted.
        ours = re.compile(rf"{re.escape(_stem(order.name))}-[0-9a-f]{{20}}")
        key = f"{order.activation}-delete"
        found = {name for name in platform.tagged(_tag("plugin", order.name), key=key) if ours.fullmatch(name)}
        if order.entry_digest:
            found.add(script_name(order.name, order.entry_digest))
        return [script for script in sorted(found) if platform.delete(script, key=f"{key}-{script}")]


def script_name(plugin: str, digest: str) -> str:
    """The script of one version of a plugin of this installation; at most 63 characters."""
    return f"{_stem(plugin)}-{_derived('script', plugin, digest).hex()[:20]}"


def script_key(script: str) -> str:
    """What signs requests to a script. Derived, so that it is kept nowhere and no script learns another's."""
    return base64.urlsafe_b64encode(_derived("key", script)).decode("ascii").rstrip("=")


@cache
def front() -> bytes:
    """The module that answers the protocol in front of a plugin."""
    return (Path(__file__).parent / "workers" / "cloudflare.mjs").read_bytes()


def _stem(plugin: str) -> str:
    return plugin[:42].rstrip("-")


def _tag(*parts: str) -> str:
    return f"zelavis-{parts[0]}-{_derived('tag', *parts).hex()[:24]}"


def _derived(*parts: str) -> bytes:
    message = "\0".join(("zelavis cloudflare", *parts))
    return hmac.new(settings.SECRET_KEY.encode(), message.encode(), hashlib.sha256).digest()


def _send(script: str, path: str, document: object, *, key: str, timeout_ms: int) -> Reply:
    return exchange(
        "POST",
        f"{settings.ENVIRONMENT.cloudflare_dispatch_url}/{script}{path}",
        encode(document),
        key=script_key(script),
        message_id=key,
        timeout_ms=timeout_ms,
        max_bytes=MAX_ANSWER,
    )


def _limit_exceeded(reply: Reply) -> bool:
    """What the dispatch Worker answers when the platform stopped the script, apart from being asked too often."""
    if reply.status != 429:
        return False
    try:
        return json_object(reply).get("error") == "limit_exceeded"
    except ExchangeFailed:
        return False


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
