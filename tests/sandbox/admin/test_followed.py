"""The ledger in a real browser: new calls come into the list by themselves, and the charts are drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import server as servers
from tests.acceptance import browser as browsers

pytestmark = pytest.mark.browser

CALLS = """
import json, sys
from pathlib import Path
from sandbox import compiler, host
from sandbox.call import Call
from sandbox.limits import Limits
source = b'''export default { hooks: { go: async (n, ctx) => {
  await ctx.kv.increment("n"); console.log("call", n);
  if (n % 5 == 4) throw new TypeError("every fifth fails");
  if (n % 4 == 3) await ctx.users.get(1).catch(() => 0);
  for (let i = 0; i < n * 2000; i++);
  return n;
} } };'''
artifact = compiler.deploy(source, kind="javascript")
for n in range(FIRST, FIRST + 40):
    host.execute(artifact, Call(id=f"inv_followed{n}", plugin="followed", version="1.0.0", hook="go", event=n),
                 grants={"kv": {"reason": "t"}}, limits=Limits(deadline_ms=5000))
"""


def _call(data: Path, first: int) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", CALLS.replace("FIRST", str(first))],
        cwd=servers.ROOT,
        env=servers.environment(data),
        check=True,
        timeout=120,
    )


def test_the_ledger_is_followed(tmp_path: Path) -> None:
    """Calls of another process appear in an open list within seconds, without a click; axe finds nothing on the list
    and on the plugin's page with its charts."""
    with servers.running(tmp_path) as server, browsers.chromium() as chromium:
        _call(tmp_path, 0)
        with browsers.session(chromium, server) as page:
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto("/admin/sandbox/invocation/?hook=go")
            assert "40 " in page.inner_text(".paginator")
            page.check("[data-live]")
            _call(tmp_path, 40)
            page.wait_for_function("document.querySelector('.paginator').innerText.includes('80 ')", timeout=10_000)
            assert page.is_checked("[data-live]")
            browsers.screenshot(page, "ledger-followed")
            script = browsers.axe_script()
            assert browsers.violations(page, script) == []
            page.goto("/admin/sandbox/invocation/plugin/followed/")
            assert page.locator("svg").count() >= 4
            assert "users:read" in page.inner_text("#content-main")
            browsers.screenshot(page, "plugin-figures")
            assert browsers.violations(page, script) == []
            assert problems == []
