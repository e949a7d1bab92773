from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.kubelet.images.reference import parse
from sampan.kubelet.images.skopeo import Skopeo, SkopeoFault, explain, registries_conf

REF = "docker.io/library/nope:latest"


@pytest.mark.parametrize(
    ("last_words", "sentence", "absent"),
    [
        (
            'level=fatal msg="Error parsing image name \\"docker://docker.io/library/nope:latest\\": reading '
            'manifest latest in 127.0.0.1:5000/library/nope: manifest unknown: manifest unknown"',
            f"{REF}: not found",
            True,
        ),
        (
            'level=fatal msg="Error parsing image name \\"docker://x\\": pinging container registry '
            '127.0.0.1:59999: Get \\"http://127.0.0.1:59999/v2/\\": dial tcp 127.0.0.1:59999: connect: '
            'connection refused"',
            'Get "http://127.0.0.1:59999/v2/": dial tcp 127.0.0.1:59999: connect: connection refused',
            False,
        ),
        (
            'level=fatal msg="Error parsing image name \\"docker://x\\": reading manifest latest in '
            "docker.io/x/y: errors:\\ndenied: requested access to the resource is denied\\nunauthorized: "
            'authentication required"',
            "pull access denied, repository does not exist or may require authorization: errors: denied: "
            "requested access to the resource is denied unauthorized: authentication required",
            False,
        ),
        ("panic: something else", "panic: something else", False),
        ("", "skopeo failed without a word", False),
    ],
)
def test_the_cause_is_one_sentence(last_words: str, sentence: str, absent: bool) -> None:
    fault = explain(f'time="2026-01-01T00:00:00Z" {last_words}' if "fatal" in last_words else last_words, REF)
    assert (str(fault), fault.absent) == (sentence, absent)


def test_a_mirror_replaces_its_host() -> None:
    assert registries_conf("docker.io", "http://127.0.0.1:5000/cache/") == (
        "unqualified-search-registries = []\n[[registry]]\n"
        'prefix = "docker.io"\nlocation = "127.0.0.1:5000/cache"\ninsecure = true\n'
    )
    assert "insecure = false" in registries_conf("quay.io", "mirror.example")


SCRIPT = """#!/bin/sh
echo "$@" >> {log}
for word; do
    [ "$last" = --authfile ] && stat -c %a "$word" >> {log} && cat "$word" >> {secrets}
    last=$word
done
echo $$ > {pid}
exec {then}
"""


class Script:
    """Stands where skopeo does, and writes down how it was called."""

    def __init__(self, base: Path, then: str) -> None:
        self.log, self.secrets, self.pid = base / "log", base / "secrets", base / "pid"
        self.path = base / "skopeo"
        text = SCRIPT.format(log=self.log, secrets=self.secrets, pid=self.pid, then=then)
        self.path.write_text(text)
        self.path.chmod(0o755)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Script]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def make(then: str) -> Script:
        script = Script(tmp_path, then)
        monkeypatch.setattr("shutil.which", lambda *_, **__: str(script.path))
        return script

    return make


async def test_credentials_are_in_a_file_of_ones_own(
    tmp_path: Path, stand_in: Callable[[str], Script]
) -> None:
    """Not on the command line, which everybody on the machine can read; and gone afterwards."""
    script = stand_in("echo {}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    auth = [{"auths": {"q.io": {"username": "alice", "password": "secret"}}}]
    found = await Skopeo({}, scratch).ask(parse("q.io/x:1"), auth)
    assert found.key is not None
    called = script.log.read_text()
    assert "600" in called.splitlines()
    assert "alice" not in called and "secret" not in called
    assert base64.b64encode(b"alice:secret").decode() in script.secrets.read_text()
    assert list(scratch.iterdir()) == []


async def test_only_credentials_for_the_image_are_shown(
    tmp_path: Path, stand_in: Callable[[str], Script]
) -> None:
    script = stand_in("echo {}")
    auth = [{"auths": {"other.io": {"username": "alice", "password": "secret"}}}]
    assert (await Skopeo({}, tmp_path).ask(parse("q.io/x:1"), auth)).key is None
    assert not script.secrets.exists()


async def test_a_call_that_nobody_waits_for_ends(tmp_path: Path, stand_in: Callable[[str], Script]) -> None:
    script = stand_in("sleep 60")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    asking = asyncio.create_task(Skopeo({"q.io": "http://m"}, scratch).ask(parse("q.io/x:1"), ()))
    for _ in range(6000):
        if script.pid.exists() and script.pid.read_text().strip():
            break
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not Path("/proc", script.pid.read_text().strip()).exists()
    assert list(scratch.iterdir()) == []


async def test_a_tool_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SkopeoFault, match="apt-get install skopeo"):
        await Skopeo({}, tmp_path).ask(parse("q.io/x:1"), ())
