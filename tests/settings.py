"""Settings of the tests: the product's own, on a data directory of their own.

Read before any conftest, so that no test ever sees the data of an installation beside the checkout.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_given = os.environ.get("ZELAVIS_TEST_DATABASE_URL")
for _name in [name for name in os.environ if name.startswith("ZELAVIS_") and name != "ZELAVIS_TEST_DATABASE_URL"]:
    del os.environ[_name]
os.environ["ZELAVIS_DATA_DIR"] = tempfile.mkdtemp(prefix="zelavis-tests-")
if _given:
    # The PostgreSQL suite runs the same tests again.
    os.environ["ZELAVIS_DATABASE_URL"] = _given
    os.environ["ZELAVIS_BROKER_URL"] = "redis://127.0.0.1:1/0"
    os.environ["ZELAVIS_SECRET_KEY"] = "a key for tests only, of enough characters"
    os.environ["ZELAVIS_ALLOWED_HOSTS"] = "testserver,localhost,127.0.0.1"

from zelavis.settings import *  # noqa: E402, F403

# What tests start as processes of their own uses the product's settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "zelavis.settings"
if not _given:
    # In memory. pytest-xdist's suffix for each worker lands in a parameter that SQLite ignores; workers share nothing.
    DATABASES["default"]["TEST"] = {"NAME": "file:tests?mode=memory&cache=shared&worker="}  # type: ignore[name-defined]  # noqa: F405
# The cheapest hash: tests make users, they do not guard them.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
Path(STATIC_ROOT).mkdir()  # type: ignore[name-defined]  # noqa: F405
