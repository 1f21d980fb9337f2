"""Token pages: a human answers a run's question by a signed link, without an account."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs import clock, inbox, links, queries, states
from runs.api import shapes
from runs.api.base import RunView, tenant_of
from runs.api.reading import number
from runs.errors import TokenLinkInvalid
from runs.models import Waitpoint
from zelavis.errors import ZelavisError

_LONGEST_COMMENT = 5000
_WEEK_SECONDS = 7 * 86400


@never_cache
@require_http_methods(["GET", "POST"])
def question(request: HttpRequest, signed: str) -> HttpResponse:
    """The page of one question. ``approve`` or ``reject``, with a comment, becomes the token's payload."""
    try:
        asked = links.read(signed)
    except TokenLinkInvalid as error:
        return _page(request, {"problem": error.message}, 403)
    waits = Waitpoint.objects.filter(run_id=asked.run_id, kind=states.MANUAL, match_key=asked.token_id)
    # A run may ask the same question again.
    wait = waits.filter(state=states.PENDING).first() or waits.first()
    if wait is None:
        return _page(request, {"problem": "The run does not ask this question yet, or no longer."}, 404)
    if wait.state != states.PENDING:
        return _page(request, {"problem": "This question was answered before, or the run has ended."}, 409)
    context: dict[str, Any] = {"asked": asked, "run": queries.get(asked.run_id)}
    if request.method == "GET":
        return _page(request, context, 200)
    answer, comment = request.POST.get("answer"), request.POST.get("comment", "").strip()
    if answer not in ("approve", "reject") or len(comment) > _LONGEST_COMMENT or "\x00" in comment:
        return _page(request, {**context, "message": "Choose Approve or Reject."}, 400)
    payload = {"approved": answer == "approve"} | ({"comment": comment} if comment else {})
    try:
        inbox.inject(asked.run_id, states.MANUAL, asked.token_id, payload=payload, actor="link", also_running=True)
    except ZelavisError:
        return _page(request, {"problem": "This question was answered before, or the run has ended."}, 409)
    return _page(request, {"done": True, "approved": payload["approved"]}, 200)


def _page(request: HttpRequest, context: dict[str, Any], status: int) -> HttpResponse:
    return render(request, "runs/question.html", context, status=status)


class RunLinks(RunView):
    """Links to the questions that a run asks."""

    suffix = "/links"
    # A link that lets somebody answer is for those who may answer.
    scopes: ClassVar[dict[str, str]] = {**RunView.scopes, "GET": "runs:write"}

    @extend_schema(
        operation_id="listTokenLinks",
        summary="Signed links for the tokens a run waits for",
        description="Whoever has a link can answer that one question until it ends; `validSeconds` is at most 30 days, "
        "and a week when not given.",
        parameters=[OpenApiParameter("validSeconds", int)],
        responses=shapes.LINKS,
    )
    def get(self, request: Request, run_id: str) -> Response:
        queries.get(run_id, tenant=tenant_of(request))
        valid = number(request.query_params.get("validSeconds"), "validSeconds", lowest=1, highest=30 * 86400)
        expires = clock.now_ms() + (valid or _WEEK_SECONDS) * 1000
        tokens = Waitpoint.objects.filter(run_id=run_id, kind=states.MANUAL, state=states.PENDING).order_by("ordinal")
        return Response(
            {
                "links": [
                    {
                        "tokenId": wait.match_key,
                        "url": _absolute(request, links.url(run_id, wait.match_key, expires_at=expires)),
                        "expiresAt": expires,
                    }
                    for wait in tokens
                ]
            }
        )


def _absolute(request: Request, url: str) -> str:
    return request.build_absolute_uri(url)
