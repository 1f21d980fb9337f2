"""``manage.py plugin …`` as an author uses it: real files, the real sandbox, exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from marketplace.authoring import progress, scaffold


def plugin(*words: Any) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("plugin", *map(str, words), stdout=out, stderr=err)
    except SystemExit as left:
        return int(left.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A new JavaScript plugin."""
    assert plugin("new", "page-counter", "--directory", tmp_path)[0] == 0
    return tmp_path / "page-counter"


def test_a_new_plugin_passes_everything(made: Path, tmp_path: Path) -> None:
    """What ``new`` makes passes the audit without a finding, its cases, a run, and packs to the same bytes twice."""
    code, out, _ = plugin("check", made, "--json")
    assert code == 0, out
    assert json.loads(out)["findings"] == []
    code, out, _ = plugin("test", made, "--json")
    assert code == 0
    assert [case["passed"] for case in json.loads(out)["cases"]] == [True, True]
    event = tmp_path / "event.json"
    event.write_text('{"collection": "p", "id": "1"}')
    code, out, _ = plugin("run", made, "--hook", "content:afterSave", "--event", event, "--repeat", 3, "--json")
    assert code == 0
    assert [one["result"] for one in json.loads(out)] == [{"saves": 1}, {"saves": 2}, {"saves": 3}]
    digests = set()
    for name in ("a.zip", "b.zip"):
        code, out, _ = plugin("pack", made, "--output", tmp_path / name, "--json")
        assert code == 0
        digests.add(json.loads(out)["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize("language", ["javascript", "assemblyscript", "c", "rust"])
def test_every_language_has_a_template(tmp_path: Path, language: str) -> None:
    """Each language's template leaves no mark unreplaced and holds a manifest, a source, cases and a licence."""
    files = scaffold.create("some-name", language, tmp_path)
    names = {file.name for file in files}
    assert {"zelavis.plugin.json", "README.md", "LICENSE", "first-save.json"} <= names
    for file in files:
        assert "@NAME@" not in file.read_text()
        assert "@ENTRY@" not in file.read_text()


def test_names_and_places_are_checked(tmp_path: Path, made: Path) -> None:
    """A name that is none, and a directory that is there, are one clear line and exit code 2."""
    for name in ("A", "a", "../x", "page_counter", "1abc"):
        code, _, err = plugin("new", name, "--directory", tmp_path)
        assert (code, "no plugin name" in err) == (2, True)
    code, _, err = plugin("new", "page-counter", "--directory", tmp_path)
    assert (code, "exists already" in err) == (2, True)


def test_what_is_no_plugin_is_told_in_one_line(tmp_path: Path, made: Path) -> None:
    """A directory without a manifest, a wrong manifest and a missing entry file each give exit code 2 and a cure."""
    code, _, err = plugin("check", tmp_path)
    assert (code, "plugin new" in err) == (2, True)
    (made / "plugin.mjs").rename(made / "other.mjs")
    code, out, err = plugin("run", made, "--hook", "x", "--json")
    assert (code, "does not exist" in err, "error" in json.loads(out)) == (2, True, True)
    manifest = made / "zelavis.plugin.json"
    manifest.write_text(manifest.read_text().replace('"manifestVersion": 1', '"manifestVersion": 9'))
    code, _, err = plugin("pack", made)
    assert (code, "/manifestVersion" in err) == (2, True)


def test_a_failing_case_is_shown(made: Path) -> None:
    """A case that is not met gives exit code 1 and tells expected and found."""
    case = made / "cases" / "first-save.json"
    case.write_text(case.read_text().replace('"saves": 1 }, "kv"', '"saves": 7 }, "kv"'))
    code, out, _ = plugin("test", made)
    assert code == 1
    assert "FAIL first-save" in out
    assert "result.saves: expected 7, got 1" in out
    assert "1 passed, 1 failed" in out
    case.write_text('{"hook": "x", "expects": {}}')
    assert plugin("test", made)[0] == 2
    case.write_text("{")
    assert plugin("test", made)[0] == 2


def test_a_call_that_fails_gives_exit_code_one(made: Path) -> None:
    """An outcome that is not ok is printed whole and is exit code 1; source that does not load is 2."""
    (made / "plugin.mjs").write_text("export default { hooks: { h: () => { throw new TypeError('no'); } } };")
    code, out, _ = plugin("run", made, "--hook", "h", "--json")
    assert code == 1
    assert json.loads(out)["error"]["message"] == "no"
    (made / "plugin.mjs").write_text("export default {")
    code, _, err = plugin("run", made, "--hook", "h")
    assert (code, "plugin.mjs" in err) == (2, True)


def test_events_come_from_files_and_standard_input(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--event -`` reads standard input; a missing file and broken JSON are exit code 2."""
    monkeypatch.setattr("sys.stdin", io.StringIO('{"collection": "p", "id": "9"}'))
    code, out, _ = plugin("run", made, "--hook", "content:afterSave", "--event", "-", "--json")
    assert (code, json.loads(out)["logs"][0]["message"]) == (0, "p 9 was saved")
    assert plugin("run", made, "--hook", "h", "--event", made / "none.json")[0] == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    assert plugin("run", made, "--hook", "h", "--event", "-")[0] == 2


def test_bench_measures(made: Path, tmp_path: Path) -> None:
    """``bench`` gives p50, p99, rate and memory of calls that all succeeded."""
    event = tmp_path / "e.json"
    event.write_text('{"collection": "p", "id": "1"}')
    code, out, _ = plugin("bench", made, "--hook", "content:afterSave", "--event", event, "-n", 20, "--json")
    figures = json.loads(out)
    assert code == 0
    assert (figures["calls"], figures["failed"]) == (20, 0)
    assert 0 < figures["p50Ms"] <= figures["p99Ms"]
    assert figures["guestMemoryBytes"] > 0
    assert plugin("bench", made, "--hook", "x", "-n", 0)[0] == 2


def test_the_audit_refuses(made: Path) -> None:
    """``check`` ends with exit code 1 and names the rule when the marketplace would refuse the bundle."""
    (made / "key.txt").write_text("-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n")
    code, out, _ = plugin("check", made)
    assert code == 1
    assert "failed: " in out


@pytest.mark.django_db
def test_replay_from_the_command_line(made: Path, tmp_path: Path) -> None:
    """A tape replays by name and from a file to the same outcome, and differs against a changed directory."""
    from marketplace.authoring import project, trial
    from sandbox import host, tape
    from sandbox.models import Tape

    (made / "plugin.mjs").write_text("export default { hooks: { h: () => { throw new TypeError('first'); } } };")
    read = project.read(str(made))
    artifact = read.deploy()
    call = trial.call_of(read, "h", None)
    host.execute(artifact, call, grants={}, backend=trial.MemoryBackend())
    name = Tape.objects.get().pk
    code, out, _ = plugin("replay", name)
    assert (code, out.splitlines()[0]) == (0, "the same outcome")
    file = tmp_path / "tape.json"
    file.write_text(tape.get(name))
    assert plugin("replay", file, "--json")[0] == 0
    (made / "plugin.mjs").write_text("export default { hooks: { h: () => { throw new TypeError('second'); } } };")
    code, out, _ = plugin("replay", name, "--against", made)
    assert code == 1
    assert "-" in out
    assert "second" in out
    assert plugin("replay", "inv_none")[0] == 2


def test_every_command_has_help() -> None:
    """Each command explains itself and ends with exit code 0."""
    for name in ("new", "check", "run", "bench", "test", "pack", "publish", "replay"):
        code, _, _ = plugin(name, "--help")
        assert code == 0


@pytest.mark.node
def test_the_assemblyscript_template_builds_and_passes(tmp_path: Path) -> None:
    """The AssemblyScript template builds with npm as its README says and passes audit and cases."""
    assert plugin("new", "page-as", "--language", "assemblyscript", "--directory", tmp_path)[0] == 0
    made = tmp_path / "page-as"
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=made, check=True, timeout=300)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=made, check=True, timeout=300)
    code, out, _ = plugin("check", made)
    assert code == 0, out
    assert plugin("test", made)[0] == 0


def test_long_work_tells_its_progress() -> None:
    """What takes longer than a second says on standard error what it does and how far it is; what is shorter says
    nothing."""
    stream = io.StringIO()
    with progress.working(stream, "compiling", every=0.05) as tick:
        tick(3)
        time.sleep(0.12)
    told = stream.getvalue()
    assert told.startswith("compiling (0 s, 3 done)")
    assert told.count("compiling") in (1, 2)
    quiet = io.StringIO()
    with progress.working(quiet, "compiling"):
        pass
    assert quiet.getvalue() == ""
