"""The marketplace's screens: queue, review, listings, publishers, feeds."""

from __future__ import annotations

from marketplace.admin import feeds, listings, publishers, ratings, releases, rollouts

__all__ = ["feeds", "listings", "publishers", "ratings", "releases", "rollouts"]
