"""Rows of the marketplace. Every change of a state goes through a verb of ``curation`` or ``intake``."""

from __future__ import annotations

from marketplace.models.catalogue import (
    Download,
    Install,
    PluginCapability,
    PluginKeyword,
    Rating,
    SearchTerm,
)
from marketplace.models.feeds import AllowedDigest, FeedEntry, FeedSource, ForeignRevocation
from marketplace.models.plugins import Plugin
from marketplace.models.publishers import Membership, Publisher, PublisherKey, PublisherToken, Transfer
from marketplace.models.releases import Blob, Release, ReleaseState
from marketplace.models.reviews import Approval, CheckOutcome, CheckResult, Finding, ReviewEvent, Severity
from marketplace.models.rollouts import Rollout, RolloutState, UpdatePolicy
from marketplace.models.uploads import Upload, UploadPart

__all__ = [
    "AllowedDigest",
    "Approval",
    "Blob",
    "CheckOutcome",
    "CheckResult",
    "Download",
    "FeedEntry",
    "FeedSource",
    "Finding",
    "ForeignRevocation",
    "Install",
    "Membership",
    "Plugin",
    "PluginCapability",
    "PluginKeyword",
    "Publisher",
    "PublisherKey",
    "PublisherToken",
    "Rating",
    "Release",
    "ReleaseState",
    "ReviewEvent",
    "Rollout",
    "RolloutState",
    "SearchTerm",
    "Severity",
    "Transfer",
    "UpdatePolicy",
    "Upload",
    "UploadPart",
]
