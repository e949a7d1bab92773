from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.store.contract import Stored
from sampan.store.state import State, prefix_end

VALID = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("/a/", "/a0"), ("", None), ("\U0010ffff", None), ("a\U0010ffff", "b"), ("\ud7ff", "\ue000")],
)
def test_prefix_end(prefix: str, end: str | None) -> None:
    assert prefix_end(prefix) == end


@given(VALID, VALID)
def test_prefix_end_divides_what_begins_with_the_prefix_from_what_does_not(prefix: str, key: str) -> None:
    end = prefix_end(prefix)
    assert key.startswith(prefix) == (prefix <= key and (end is None or key < end))


@given(st.sets(VALID), VALID, VALID.filter(bool), st.integers(0, 3))
def test_list_is_a_slice_of_the_sorted_keys(keys: set[str], prefix: str, after: str, limit: int) -> None:
    state = State(Stored(key, b"", 1, 1) for key in keys)
    wanted = sorted((key for key in keys if key.startswith(prefix) and key > after), key=str.encode)
    listing = state.list(prefix, limit, after)
    assert [item.key for item in listing.items] == (wanted[:limit] if limit else wanted)
    assert listing.remaining == len(wanted) - len(listing.items)
