"""The product's settings with the workflows of the chaos suite and short times, for processes that the suite starts."""

from __future__ import annotations

import faulthandler
import signal

from zelavis.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.tenant"]  # noqa: F405
RUNS = {"retry_first_seconds": 0.2, "retry_cap_seconds": 2.0, "dispatch_seconds": 3.0}
# A process that stands still can be asked where: `kill -USR2`.
faulthandler.register(signal.SIGUSR2, all_threads=True)
