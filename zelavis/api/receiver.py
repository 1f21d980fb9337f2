"""``POST /__zelavis/plugin/activate``: this server answers as a plugin worker does.

The seed's contract: 405 with ``Allow`` for other methods, 400 for a request that is not one, 200 with
``{"status": "active"}`` or ``{"status": "pending", "message": …}``. "active" is said only of a plugin that serves
here; the request itself changes nothing. With ``ZELAVIS_WORKER_SECRET`` set, requests must be signed and answers are.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from zelavis import registry, signing
from zelavis.adapters.http import encode
from zelavis.api import problems
from zelavis.errors import RegistryMalformed, UnsupportedMediaType, ZelavisError
from zelavis.worker.requests import INVALID, parse


@csrf_exempt
def activate(request: HttpRequest) -> HttpResponse:
    """The seed's receiver."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    key = settings.ENVIRONMENT.worker_secrets
    message_id = ""
    if key:
        try:
            message_id = signing.verify(request.body, request.headers, keys=key)
        except ZelavisError as error:
            return problems.response(error, request)
    if request.content_type != "application/json":
        return problems.response(UnsupportedMediaType(), request)
    asked = parse(request.body)
    if asked is None:
        return _json(INVALID, status=400, key=key, message_id=message_id)
    return _json(answer(asked["pluginName"], asked["action"]), status=200, key=key, message_id=message_id)


def answer(name: str, action: str) -> dict[str, str]:
    """What is true of a plugin here. ``register`` asks only to be known, ``uninstall`` to be gone."""
    try:
        serves = registry.active_entry(name) is not None
    except RegistryMalformed:
        return {"status": "pending", "message": "The registry cannot be read."}
    if action == "register" or (action == "uninstall" and not serves) or (action != "uninstall" and serves):
        return {"status": "active"}
    if action == "uninstall":
        return {"status": "pending", "message": f'Plugin "{name[:80]}" still serves here.'}
    return {"status": "pending", "message": f'Plugin "{name[:80]}" is not deployed here yet.'}


def _json(document: dict[str, str], *, status: int, key: tuple[str, ...], message_id: str) -> HttpResponse:
    body = encode(document)
    headers = signing.sign(body, key=key, message_id=message_id) if key else {}
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)
