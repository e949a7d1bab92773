"""Verbs, exit codes, and nothing imported that was not asked for."""

from __future__ import annotations

import argparse
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from sampan import KUBERNETES_VERSION, __version__
from sampan.cli import main, status
from sampan.cli.errors import UserError


def test_version_names_the_kubernetes_it_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"sampan {__version__} (Kubernetes {KUBERNETES_VERSION})\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["up", "--nonsense"], ["status", "-o", "xml"], ["image"]]
)
def test_words_that_are_off_are_exit_code_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2
    assert "usage: sampan" in capsys.readouterr().err


BELOW = {"image": ["ls"], "node": ["ls"], "token": ["list"]}
"""Words of verbs that have verbs of their own."""


def test_every_verb_has_a_parser_and_is_in_the_help() -> None:
    text = main.build_parser(None).format_help()
    for verb, summary in main.VERBS.items():
        assert verb in text and summary in text
        assert main.build_parser(verb).parse_args([verb, *BELOW.get(verb, [])]).run


def test_what_cannot_be_done_is_said_without_a_traceback_and_is_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["status", "--name", "x", "--data-dir", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == (
        f"sampan: there is no cluster 'x' in {tmp_path / 'none'}\n  `sampan up` makes one.\n"
    )


@pytest.mark.parametrize(
    ("raised", "code"),
    [(UserError("what"), 1), (OSError(errno.ENOSPC, "full"), 1), (KeyboardInterrupt(), 130)],
    ids=["refused", "full disk", "interrupted"],
)
def test_how_a_verb_ends_is_the_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(parsed: argparse.Namespace) -> int:
        raise raised

    monkeypatch.setattr(status, "run", run)
    assert main.main(["status"]) == code


def test_a_verb_imports_no_other_verb_and_no_server() -> None:
    look = (
        "import sys; from sampan.cli import main; main.build_parser('up'); "
        "print(*sorted(name for name in sys.modules if name.startswith('sampan.')))"
    )
    out = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    loaded = set(out.split())
    assert "sampan.cli.up" in loaded
    assert (
        not {"sampan.cli.down", "sampan.cli.status", "sampan.cli.image", "sampan.apiserver.server"} & loaded
    )
