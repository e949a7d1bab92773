"""ARCHITECTURE.md follows one Pod and one Service through the house: no room is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Fakes stand beside what they play, contracts are listed apart; packages of tables are named as a whole.
OF_NO_NOTE = {"__init__", "__main__", "fake", "contract", "memory"}
WHOLE = ("api/defaults/", "api/validation/", "api/tables/")
MODULES = sorted(
    str(path.relative_to(ROOT / "src/sampan").with_suffix(""))
    for path in (ROOT / "src/sampan").rglob("*.py")
    if path.stem not in OF_NO_NOTE
)


def named() -> set[str]:
    """What stands in backquotes, with and without its folder."""
    quoted = re.findall(r"`([\w/.{},]+)`", (ROOT / "ARCHITECTURE.md").read_text())
    return {part for words in quoted for part in (words, words.rpartition("/")[2])}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith(WHOLE)])
def test_the_walk_passes_through(module: str) -> None:
    folder, _, noun = module.rpartition("/")
    assert noun in named() or (noun == "controller" and folder.rpartition("/")[2] in named())
