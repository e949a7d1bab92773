"""Tests that answer for a behaviour of upstream's conformance list, by its title.

`titles` are the list; `claims` reads out of the tests' source which test answers for which title, so that the
table in docs can be made, and proved to be current, without a node.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent / "conformance"
TITLES = TESTS / "titles.txt"


def conforms(title: str, fails: str = "") -> pytest.MarkDecorator:
    """Marks a test with the title it answers for. `fails`: why the behaviour is not there yet."""
    return pytest.mark.conformance(title, fails=fails)


def titles() -> list[str]:
    return TITLES.read_text().splitlines()


@dataclass(frozen=True)
class Claim:
    """A test that answers for a title."""

    title: str
    path: Path
    test: str
    fails: str

    @property
    def area(self) -> str:
        return self.title[1 : self.title.index("]")]


def claims() -> Iterator[Claim]:
    """Every use of `conforms` below the conformance tests, in the order of files and lines."""
    for path in sorted(TESTS.glob("test_*.py")):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef):
                for call in _calls(function):
                    yield Claim(_text(call.args[0]), path, function.name, _reason(call))


def table() -> str:
    """The page in docs: every title, by area, and how it stands."""
    claimed = {claim.title: claim for claim in claims()}
    areas: dict[str, list[str]] = {}
    for title in titles():
        areas.setdefault(title[1 : title.index("]")], []).append(title)
    summary = ["| area | behaviours | pass | fail | no test yet |", "|---|---|---|---|---|"]
    pages: list[str] = []
    for area, listed in areas.items():
        found = [claimed.get(title) for title in listed]
        failing = sum(1 for claim in found if claim and claim.fails)
        missing = found.count(None)
        passing = len(listed) - failing - missing
        summary.append(f"| {area} | {len(listed)} | {passing} | {failing} | {missing} |")
        pages += [f"\n## {area}\n", "| behaviour | | test |", "|---|---|---|"]
        pages += [_row(title, claim) for title, claim in zip(listed, found, strict=True)]
    return "\n".join([INTRODUCTION, *summary, *pages, ""])


INTRODUCTION = """\
# Conformance

The behaviours of upstream's conformance list (1.35) that can be named, and how each stands. This page is made
by `scripts/build-conformance`; a test fails when it is out of date. *passes*: the test named runs with every
`make test`, on a real node, through the official Python client and kubectl. *fails*: the test is there, is
expected to fail, and the reason is given.
"""


def _row(title: str, claim: Claim | None) -> str:
    name = title[title.index("]") + 2 :].replace("|", "\\|").replace("*", "\\*")
    if claim is None:
        return f"| {name} | no test yet | |"
    where = f"[{claim.test}](../tests/conformance/{claim.path.name})"
    return f"| {name} | {f'fails: {claim.fails}' if claim.fails else 'passes'} | {where} |"


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for decorator in function.decorator_list:
        for found in ast.walk(decorator):
            if isinstance(found, ast.Call) and getattr(found.func, "id", "") == "conforms":
                yield found


def _reason(call: ast.Call) -> str:
    stated = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    return _text(stated[0]) if stated else ""


def _text(value: ast.expr) -> str:
    """A title stands as a plain string where it is used, so that a search finds it."""
    text = ast.literal_eval(value)
    assert isinstance(text, str)
    return text


if __name__ == "__main__":
    print(table(), end="")
