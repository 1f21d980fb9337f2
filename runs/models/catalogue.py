"""Where workflows run."""

from __future__ import annotations

from django.db import models


class Dispatcher(models.Model):
    """Where step requests of a tenant or a workflow go, when not to this process or the configured default."""

    HTTP, SERVICE = "http", "service"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=[(HTTP, "HTTP URL"), (SERVICE, "Sibling service")], default=HTTP)
    #: ``http(s)://…``; for a service also ``unix:/path/to.sock``.
    url = models.CharField(max_length=500)
    #: HMAC key of the requests, encrypted with the server's key; empty: unsigned (services on this machine only).
    secret = models.TextField(default="", blank=True)
    #: Only runs of this tenant; empty: all.
    tenant = models.CharField(max_length=200, default="", blank=True)
    #: Only this workflow, or all whose name starts with the part before ``*``; empty: all.
    workflow = models.CharField(max_length=200, default="", blank=True)
    timeout_seconds = models.FloatField(default=60.0)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "runs_dispatcher"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
