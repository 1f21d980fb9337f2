"""The WSGI application, served by granian."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from zelavis.embedded import watch_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zelavis.settings")
application = get_wsgi_application()
watch_parent()
