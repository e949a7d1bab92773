"""The page about conformance says what the tests say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from harness.conformance import claims, table, titles

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"


def test_every_claim_names_a_title_of_the_list() -> None:
    assert {claim.title for claim in claims()} <= set(titles())


def test_one_test_answers_for_a_title() -> None:
    assert [title for title, count in Counter(claim.title for claim in claims()).items() if count > 1] == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == table(), "run scripts/build-conformance"
