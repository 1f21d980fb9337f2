"""What plugins store. ``sandbox.models`` imports this module; Django finds the rows there."""

from __future__ import annotations

from django.db import models

from sandbox.capabilities.fields import BytewiseCharField


class PluginUsage(models.Model):
    """How much a plugin keeps in one store; locked while a call commits to it."""

    plugin = models.CharField(max_length=64)
    store = models.CharField(max_length=20)
    count = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "store"], name="usage_once")]
        verbose_name_plural = "plugin usage"

    def __str__(self) -> str:
        return f"{self.plugin} {self.store}: {self.count} in {self.bytes} B"


class PluginMeter(models.Model):
    """How often a plugin did something in one hour."""

    plugin = models.CharField(max_length=64)
    meter = models.CharField(max_length=200)
    #: Whole hours since 1970.
    hour = models.BigIntegerField()
    used = models.BigIntegerField(default=0)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "meter", "hour"], name="meter_once")]
        indexes = [models.Index(fields=["hour"], name="meter_by_hour")]

    def __str__(self) -> str:
        return f"{self.plugin} {self.meter}: {self.used}"


class PluginValue(models.Model):
    """One key of a plugin's ``kv``. The value is JSON text, kept as the plugin wrote it."""

    plugin = models.CharField(max_length=64)
    key = BytewiseCharField(max_length=512)
    value = models.TextField()
    #: Milliseconds since 1970; empty: never.
    expires_ms = models.BigIntegerField(null=True, blank=True)
    #: Bytes of key and value.
    size = models.BigIntegerField()
    updated_ms = models.BigIntegerField()

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "key"], name="value_once")]
        indexes = [
            models.Index(fields=["expires_ms"], name="value_expiry", condition=models.Q(expires_ms__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.key}"


class PluginDocument(models.Model):
    """One document of a plugin's collection."""

    plugin = models.CharField(max_length=64)
    collection = models.CharField(max_length=64)
    key = BytewiseCharField(max_length=200)
    body = models.TextField()
    size = models.BigIntegerField()
    #: The fields its index rows were made of, JSON; a manifest with other indexes has them made anew.
    indexed = models.TextField(default="[]")
    updated_ms = models.BigIntegerField()

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "collection", "key"], name="document_once")]

    def __str__(self) -> str:
        return f"{self.plugin} {self.collection}: {self.key}"


class PluginDocumentIndex(models.Model):
    """One indexed field of one document, as text whose byte order is the order of the values."""

    document = models.ForeignKey(PluginDocument, on_delete=models.CASCADE, related_name="index_rows")
    field = models.CharField(max_length=100)
    value = BytewiseCharField(max_length=210)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["document", "field"], name="document_index_once")]
        indexes = [models.Index(fields=["field", "value"], name="document_by_value")]

    def __str__(self) -> str:
        return f"{self.field}={self.value}"


class PluginObject(models.Model):
    """One serialised record, and who holds it."""

    plugin = models.CharField(max_length=64)
    key = BytewiseCharField(max_length=512)
    #: JSON text; empty: held but never written.
    value = models.TextField(null=True, blank=True)
    size = models.BigIntegerField(default=0)
    owner = models.CharField(max_length=64, blank=True)
    #: Milliseconds since 1970, by the host's clock.
    leased_until_ms = models.BigIntegerField(default=0)
    updated_ms = models.BigIntegerField(default=0)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "key"], name="object_once")]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.key}"


class PluginBlob(models.Model):
    """One file of a plugin; its bytes lie in Django's storage under ``file``."""

    plugin = models.CharField(max_length=64)
    name = BytewiseCharField(max_length=200)
    file = models.CharField(max_length=300)
    size = models.BigIntegerField()
    content_type = models.CharField(max_length=100)
    sha256 = models.CharField(max_length=64)
    updated_ms = models.BigIntegerField()

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "name"], name="blob_once")]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.name}"


class PluginSecret(models.Model):
    """A value an operator set for a plugin; encrypted, and shown to nobody."""

    plugin = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    sealed = models.TextField(editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "name"], name="secret_once")]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.name}"


class PluginMail(models.Model):
    """A message of a plugin on its way out."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        SENDING = "sending", "sending"
        SENT = "sent", "sent"
        FAILED = "failed", "failed"

    plugin = models.CharField(max_length=64)
    call = models.CharField(max_length=64)
    recipients = models.TextField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    html = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.IntegerField(default=0)
    #: When to try next, or when a try that was interrupted is given up.
    due_at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "sandbox"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["due_at"], name="mail_due", condition=models.Q(state__in=["queued", "sending"]))
        ]
        verbose_name_plural = "plugin mail"

    def __str__(self) -> str:
        return f"{self.plugin}: {self.subject}"


class PluginWake(models.Model):
    """A time a plugin set for itself; the row goes when its cron hook is fired."""

    plugin = models.CharField(max_length=64)
    name = models.CharField(max_length=100)
    at_ms = models.BigIntegerField()
    data = models.TextField(default="null")

    class Meta:
        app_label = "sandbox"
        constraints = [models.UniqueConstraint(fields=["plugin", "name"], name="wake_once")]
        indexes = [models.Index(fields=["at_ms"], name="wake_due")]

    def __str__(self) -> str:
        return f"{self.plugin}: {self.name}"


class Tape(models.Model):
    """One recorded call: what went in, every host call with its answer, and what came out. Secrets are taken out."""

    class Reason(models.TextChoices):
        FAILURE = "failure", "the call failed"
        SAMPLE = "sample", "sampled"
        REQUEST = "request", "asked for"

    #: The invocation it was made of.
    id = models.CharField(primary_key=True, max_length=64, editable=False)
    created_at = models.DateTimeField()
    plugin = models.CharField(max_length=64)
    version = models.CharField(max_length=64)
    #: sha256 of the source that ran.
    digest = models.CharField(max_length=64)
    hook = models.CharField(max_length=120)
    status = models.CharField(max_length=20)
    reason = models.CharField(max_length=10, choices=Reason.choices)
    #: JSON text, format in ``docs/reference/tape.md``.
    body = models.TextField()
    size = models.IntegerField()

    class Meta:
        app_label = "sandbox"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at"], name="tape_newest"),
            models.Index(fields=["plugin", "-created_at"], name="tape_plugin"),
        ]

    def __str__(self) -> str:
        return f"{self.plugin} {self.version} {self.hook}: {self.status}"
