"""Icons and the Atom feed."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from marketplace import blobs
from marketplace.models import Plugin, Release
from zelavis.errors import ZelavisError

_NEWEST = 50


@require_safe
def icon(request: HttpRequest, digest: str) -> HttpResponse:
    """An icon as it was encoded here; only those of public releases."""
    if not Release.objects.public().filter(icon_id=digest).exists():
        raise Http404
    try:
        content = blobs.get(digest)
    except ZelavisError as error:
        raise Http404 from error
    return HttpResponse(
        content,
        content_type="image/png",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'",
        },
    )


@require_safe
def atom(request: HttpRequest) -> HttpResponse:
    """The newest approved releases as an Atom feed; ``?plugin=`` for one plugin."""
    releases = (
        Release.objects.public()
        .filter(state="approved", approved_at__isnull=False)
        .select_related("plugin", "publisher")
        .order_by("-approved_at")
    )
    name = request.GET.get("plugin", "")
    if name:
        row = Plugin.objects.public().filter(name=name[:64].replace("\0", "")).first()
        if row is None:
            raise Http404
        releases = releases.filter(plugin=row)
    newest = list(releases.defer("readme", "inspection_text", "record_text")[:_NEWEST])
    base = settings.ENVIRONMENT.public_url or request.build_absolute_uri("/").rstrip("/")
    updated = newest[0].approved_at if newest else None
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>{_text('Plugin releases' + (f' of {name}' if name else ''))}</title>",
        f"<id>{_text(base + request.get_full_path())}</id>",
        f"<updated>{updated.isoformat() if updated else '1970-01-01T00:00:00+00:00'}</updated>",
        f'<link rel="self" href={quoteattr(base + request.get_full_path())}/>',
    ]
    for one in newest:
        url = base + reverse("catalogue-release", args=[one.plugin.name, one.version])
        parts.append(
            f"<entry><title>{_text(f'{one.plugin.title} {one.version}')}</title><id>{_text(url)}</id>"
            f"<link href={quoteattr(url)}/><updated>{one.approved_at.isoformat() if one.approved_at else ''}</updated>"
            f"<author><name>{_text(one.publisher.name)}</name></author>"
            f"<summary>{_text(one.changelog[:1000] or one.plugin.description)}</summary></entry>"
        )
    parts.append("</feed>")
    return HttpResponse(
        "\n".join(parts),
        content_type="application/atom+xml; charset=utf-8",
        headers={"Cache-Control": "public, max-age=60"},
    )


def _text(value: str) -> str:
    """Escaped, without characters that XML cannot hold."""
    return escape("".join(char for char in value if char in "\n\t" or char.isprintable()))
