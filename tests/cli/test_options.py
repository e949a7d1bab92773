from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sampan.cli import options

README = (Path(__file__).parents[2] / "README.md").read_text()
SAID_ALWAYS = {"help", "name", "foreground", "registry_mirror"}


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return parser


def test_what_is_not_said_is_none_so_that_what_was_said_once_holds(parser: argparse.ArgumentParser) -> None:
    parsed = vars(parser.parse_args([]))
    assert {name for name, value in parsed.items() if value is not None} <= SAID_ALWAYS
    assert parsed["registry_mirror"] == []


def test_every_option_is_explained_and_told_to_who_reads_on(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        assert action.help
        if action.dest != "help":
            assert f"[{action.option_strings[-1]}" in README, "the list of commands does not have it"


@pytest.mark.parametrize(
    ("word", "found"), [("a.b,c.*", ["a.b", "c.*"]), ("", []), ("a,", ["a"])], ids=["two", "none", "one"]
)
def test_sysctls_are_a_list_with_commas(parser: argparse.ArgumentParser, word: str, found: list[str]) -> None:
    assert parser.parse_args(["--allowed-unsafe-sysctls", word]).allowed_unsafe_sysctls == found


def test_each_host_has_a_mirror_of_its_own(parser: argparse.ArgumentParser) -> None:
    words = ["--registry-mirror", "docker.io=http://a", "--registry-mirror", "quay.io=http://b"]
    assert parser.parse_args(words).registry_mirror == ["docker.io=http://a", "quay.io=http://b"]
