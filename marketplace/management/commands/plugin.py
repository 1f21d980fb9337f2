"""``manage.py plugin …``: everything an author does with a plugin, from the first file to the submitted release."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from marketplace import bundles
from marketplace.authoring import cases, checking, project, scaffold, trial, upload
from marketplace.authoring.errors import AuthorError
from marketplace.authoring.progress import working
from sandbox.artifact import Artifact
from sandbox.capabilities.backends.memory import MemoryBackend

#: Exit codes: 0 fine; 1 the plugin is not (audit errors, a failed case, an outcome that is not ok, a replay that
#: differs, a refused release); 2 the command could not be carried out.
FINE, NOT_FINE, UNUSABLE = 0, 1, 2


class Command(BaseCommand):
    """Author commands."""

    help = "Make, check, run, measure, test, pack and publish a plugin, and replay a recorded call."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, text: str, *, path: bool = True) -> ArgumentParser:
            sub: ArgumentParser = commands.add_parser(name, help=text, description=text)
            if path:
                sub.add_argument("path", metavar="PATH", help=f"directory with {project.MANIFEST}")
            sub.add_argument("--json", action="store_true", help="print JSON alone on standard output")
            return sub

        new = add("new", "Make a plugin that works, with cases and types for the editor.", path=False)
        new.add_argument("name", metavar="NAME", help="a-z, 0-9 and -; also the directory")
        new.add_argument("--language", choices=sorted(scaffold.LANGUAGES), default="js")
        new.add_argument("--directory", default=".", help="where to make it; default: here")
        new.add_argument("--publisher", default="my-name", help="your publisher name on the server")
        add("check", "Audit the plugin with the marketplace's rules; exit code 1 when a rule refuses it.")
        run = add("run", "Run one hook in the real sandbox, with stores in memory; exit code 1 when it is not ok.")
        bench = add("bench", "Run one hook many times: p50, p99, calls a second, memory.")
        for sub in (run, bench):
            sub.add_argument("--hook", required=True)
            sub.add_argument("--event", metavar="FILE", help="JSON file; - is standard input; default: null")
        run.add_argument("--repeat", type=int, default=1, metavar="N", help="run N times on the same stores")
        bench.add_argument("-n", type=int, default=1000, metavar="N", dest="calls", help="calls; default 1000")
        add("test", "Run the cases beside the plugin (cases/*.json); exit code 1 when one fails.")
        pack = add("pack", "Write the bundle; the same files give the same bytes.")
        pack.add_argument("--output", metavar="FILE", help="default: NAME-VERSION.zip here")
        publish = add("publish", "Submit the bundle to a server's curation queue; exit code 1 when it is refused.")
        publish.add_argument("--server", required=True, metavar="URL")
        publish.add_argument("--token", metavar="T", help="default: the variable ZELAVIS_TOKEN")
        replay = add("replay", "Run a recorded call again; exit code 1 when the outcome differs.", path=False)
        replay.add_argument("tape", metavar="TAPE", help="a tape's name, or a file")
        replay.add_argument(
            "--against", metavar="RELEASE", help="another plugin directory, version, NAME@VERSION or digest"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out one command and leave with its exit code."""
        try:
            code = getattr(self, f"_{options['command']}")(**options)
        except upload.Refused as error:
            code = self._fail(error, NOT_FINE, as_json=options["json"])
        except AuthorError as error:
            code = self._fail(error, UNUSABLE, as_json=options["json"])
        if code != FINE:
            sys.exit(code)

    def _fail(self, error: AuthorError, code: int, *, as_json: bool) -> int:
        self.stderr.write(str(error))
        if as_json:
            self.stdout.write(json.dumps({"error": str(error)}))
        return code

    def _say(self, value: Any, text: str, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False) if as_json else text)

    # -- the commands ------------------------------------------------------------------------------------------------

    def _new(self, *, name: str, language: str, directory: str, publisher: str, **options: Any) -> int:
        files = scaffold.create(name, language, Path(directory), publisher=publisher)
        place = Path(directory) / name
        build = {"js": "", "javascript": "", "assemblyscript": f"  cd {place} && npm install && npm run build\n"}.get(
            language, f"  {place}/build.sh\n"
        )
        text = (
            f"{place}: {len(files)} files. Next:\n{build}"
            f"  manage.py plugin check {place}\n  manage.py plugin test {place}"
        )
        self._say({"directory": str(place), "files": [str(file) for file in files]}, text, as_json=options["json"])
        return FINE

    def _check(self, *, path: str, **options: Any) -> int:
        plugin = project.read(path)
        with working(self.stderr, f"checking {path}"):
            report = checking.check(plugin)
        lines = [
            f"{one.rule.severity:8} {one.rule.id}{' in ' + one.place if one.place else ''}: {one.message}"
            f"\n         {one.rule.advice}"
            for one in report.findings
        ]
        lines += [f"inconclusive: {one.family}: {one.detail}" for one in report.checks if one.outcome == "inconclusive"]
        lines.append(f"{report.state}: {len(report.errors)} errors, {len(report.findings)} findings")
        self._say(checking.as_json(report), "\n".join(lines), as_json=options["json"])
        return FINE if report.state == "passed" else NOT_FINE

    def _deploy(self, plugin: project.Project) -> Artifact:
        """The plugin, compiled and with the engine started; the first time on a host takes seconds."""
        with working(self.stderr, f"compiling {plugin.manifest.entry}"):
            artifact = plugin.deploy()
            trial.warm(plugin, artifact)
        return artifact

    def _run(self, *, path: str, hook: str, event: str | None, repeat: int, **options: Any) -> int:
        plugin = project.read(path)
        value, backend = _event(event), MemoryBackend()
        artifact = self._deploy(plugin)
        outcomes = []
        with working(self.stderr, f"running {hook}") as tick:
            for number in range(max(1, repeat)):
                outcomes.append(trial.run(plugin, artifact, hook, value, backend=backend))
                tick(number + 1)
        told = [trial.as_json(outcome) for outcome in outcomes]
        text = "\n".join(json.dumps(one, ensure_ascii=False, indent=2) for one in told)
        self._say(told[0] if repeat <= 1 else told, text, as_json=options["json"])
        return FINE if all(outcome.ok for outcome in outcomes) else NOT_FINE

    def _bench(self, *, path: str, hook: str, event: str | None, calls: int, **options: Any) -> int:
        if calls < 1:
            raise AuthorError("-n takes a number above zero.")
        plugin = project.read(path)
        value = _event(event)
        artifact = self._deploy(plugin)
        with working(self.stderr, f"running {hook} {calls:,} times") as tick:
            figures = trial.bench(plugin, artifact, hook, value, calls=calls, tick=tick)
        text = (
            f"{figures.calls} calls, {figures.failed} failed: p50 {figures.p50:.3f} ms, p99 {figures.p99:.3f} ms, "
            f"{figures.per_second:,.0f} a second; guest memory {figures.guest_memory / 1024:,.0f} KiB, "
            f"process grew by {figures.process_growth / 1024:,.0f} KiB"
        )
        self._say(figures.as_json(), text, as_json=options["json"])
        return FINE if not figures.failed else NOT_FINE

    def _test(self, *, path: str, **options: Any) -> int:
        plugin = project.read(path)
        artifact = self._deploy(plugin)
        verdicts = []
        with working(self.stderr, "running the cases") as tick:
            for one in cases.run_all(plugin, artifact):
                verdicts.append(one)
                tick(len(verdicts))
        lines = []
        for one in verdicts:
            lines.append(f"{'ok  ' if one.passed else 'FAIL'} {one.name} ({one.outcome.duration_ms:.2f} ms)")
            lines += [f"     {problem}" for problem in one.problems]
        failed = sum(not one.passed for one in verdicts)
        lines.append(f"{len(verdicts) - failed} passed, {failed} failed")
        told = [{"name": one.name, "passed": one.passed, "problems": list(one.problems)} for one in verdicts]
        self._say({"cases": told, "failed": failed}, "\n".join(lines), as_json=options["json"])
        return FINE if not failed else NOT_FINE

    def _pack(self, *, path: str, output: str | None, **options: Any) -> int:
        plugin = project.read(path)
        with working(self.stderr, f"packing {path}"):
            content = project.bundle(plugin)
        file = Path(output or f"{plugin.manifest.name}-{plugin.manifest.version}.zip")
        try:
            file.write_bytes(content)
        except OSError as error:
            raise AuthorError(f"{file}: {error.strerror}") from error
        digest = bundles.digest_of(content)
        told = {"file": str(file), "bytes": len(content), "digest": digest}
        self._say(told, f"{file}: {len(content):,} bytes, sha256 {digest}", as_json=options["json"])
        return FINE

    def _publish(self, *, path: str, server: str, token: str | None, **options: Any) -> int:
        token = token or os.environ.get("ZELAVIS_TOKEN")
        if not token:
            raise AuthorError("A token is needed: --token or the variable ZELAVIS_TOKEN.")
        plugin = project.read(path)
        content = project.bundle(plugin)
        with working(self.stderr, f"sending {len(content):,} bytes to {server}") as tick:
            answer = upload.publish(
                content,
                name=plugin.manifest.name,
                publisher=plugin.manifest.publisher,
                server=server,
                token=token,
                progress=tick,
            )
        text = f"{plugin.manifest.name} {plugin.manifest.version} was submitted: {answer.get('state', 'in review')}"
        text += "".join(
            f"\n  {one.get('severity')}: {one.get('place')}: {one.get('rule')}: {one.get('message')}"
            for one in answer.get("findings", [])
        )
        self._say(answer, text, as_json=options["json"])
        return FINE

    def _replay(self, *, tape: str, against: str | None, **options: Any) -> int:
        from marketplace.authoring import replaying

        with working(self.stderr, f"replaying {tape}"):
            played = replaying.replay(tape, against=against)
        notes = "".join(f"\nnote: {note}" for note in played.notes)
        text = ("the same outcome" if played.same else f"a different outcome\n{played.diff}") + notes
        told = {"same": played.same, "diff": played.diff, "notes": list(played.notes)}
        self._say({**told, "outcome": trial.as_json(played.outcome)}, text, as_json=options["json"])
        return FINE if played.same else NOT_FINE


def _event(name: str | None) -> Any:
    if name is None:
        return None
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise AuthorError(f"{name}: {error.strerror}") from error
    except ValueError as error:
        raise AuthorError(f"{name}: not JSON: {error}") from error
