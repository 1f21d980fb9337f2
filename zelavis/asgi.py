"""The ASGI application: for a separate process that holds many event streams open."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
application = get_asgi_application()
