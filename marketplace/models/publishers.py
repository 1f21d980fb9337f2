"""Who publishes: publishers, their people, keys and tokens, and plugins that change hands."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Publisher(models.Model):
    """A name under which plugins are published."""

    class State(models.TextChoices):
        """Whether it may publish."""

        ACTIVE = "active"
        #: May not publish; what it published stays as it is.
        SUSPENDED = "suspended"

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    website = models.URLField(blank=True)
    #: A curator has checked that the publisher is who the name says. A badge, never a permission.
    verified = models.BooleanField(default=False)
    state = models.CharField(max_length=20, choices=State.choices, default=State.ACTIVE, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        permissions = [("verify_publisher", "Can verify and suspend publishers")]

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """A person of a publisher."""

    class Role(models.TextChoices):
        """What the person may do."""

        #: Everything a maintainer may, and members, tokens, keys and transfers.
        OWNER = "owner"
        #: Submit and answer releases.
        MAINTAINER = "maintainer"

    publisher = models.ForeignKey(Publisher, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="publisher_memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.MAINTAINER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["publisher", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.publisher}"


class PublisherKey(models.Model):
    """An Ed25519 key with which a publisher signs bundles."""

    publisher = models.ForeignKey(Publisher, on_delete=models.CASCADE, related_name="keys")
    #: First 16 hexadecimal digits of the SHA-256 of the raw public key.
    key_id = models.CharField(max_length=16, unique=True)
    #: Raw 32 bytes, base64.
    public_key = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.key_id


class PublisherToken(models.Model):
    """Binds an API token to one publisher, or to one of its plugins; a token without such a row acts for its owner."""

    #: Public part of the token. No foreign key: the core's tables depend on these, never the other way.
    prefix = models.CharField(max_length=8, unique=True)
    name = models.CharField(max_length=100)
    publisher = models.ForeignKey(Publisher, on_delete=models.CASCADE, related_name="tokens")
    plugin = models.ForeignKey("marketplace.Plugin", null=True, blank=True, on_delete=models.CASCADE)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} (zlv_{self.prefix}_…)"


class Transfer(models.Model):
    """A plugin on its way from one publisher to another."""

    class State(models.TextChoices):
        """Where it stands."""

        OFFERED = "offered"
        ACCEPTED = "accepted"
        WITHDRAWN = "withdrawn"

    plugin = models.ForeignKey("marketplace.Plugin", on_delete=models.PROTECT, related_name="transfers")
    source = models.ForeignKey(Publisher, on_delete=models.PROTECT, related_name="+")
    target = models.ForeignKey(Publisher, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=State.choices, default=State.OFFERED)
    reason = models.TextField()
    offered_by = models.CharField(max_length=200)
    accepted_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["plugin"], condition=models.Q(state="offered"), name="transfer_one_open")
        ]

    def __str__(self) -> str:
        return f"{self.plugin} to {self.target}"
