"""The example plugins, submitted for review: something to approve on the first day."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from marketplace import actors, bundles, intake
from marketplace.models import Membership, Publisher, Release

PUBLISHER = "zelavis-examples"


def seed(*, actor: str = "system", directory: Path | None = None) -> list[Release]:
    """Submit every bundle of ``examples/plugins``; answers the releases that are new. Again: nothing happens."""
    folder = directory or settings.BASE_DIR / "examples" / "plugins"
    Publisher.objects.get_or_create(
        slug=PUBLISHER, defaults={"name": "Zelavis examples", "verified": True, "state": Publisher.State.ACTIVE}
    )
    made = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not (path / bundles.MANIFEST).is_file():
            continue
        content = bundles.pack(path)
        if not Release.objects.filter(digest=bundles.digest_of(content)).exists():
            made.append(intake.submit(content, actor=actors.system(actor), publisher=PUBLISHER))
    return made


def is_example(publisher: Publisher) -> bool:
    """Whether it is the publisher of the examples, whom nobody is."""
    return publisher.slug == PUBLISHER and not Membership.objects.filter(publisher=publisher).exists()
