from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.kubelet.network import diversion, overlay
from sampan.proxy import affinity
from sampan.proxy.table import (
    EXTERNAL,
    KEEP,
    KEY_MASK,
    LOCAL,
    RANGES,
    Change,
    Element,
    Table,
    applied,
    canonical,
    diff,
    draws_of,
    seats_of,
)

TABLES = st.dictionaries(
    st.builds(Element, st.sampled_from(["svc", "ep4", "fe4"]), st.tuples(st.integers(0, 5))),
    st.tuples(st.integers(0, 2)),
    max_size=8,
)


@given(TABLES, TABLES)
def test_difference_applied_to_the_old_table_is_the_new_one(old: Table, new: Table) -> None:
    assert applied(old, diff(old, new)) == new
    assert not diff(new, dict(new))


def test_changed_value_is_deleted_and_added() -> None:
    element = Element("svc", (1,))
    assert diff({element: (2,)}, {element: (3,)}) == Change(((element, (2,)),), ((element, (3,)),))


def test_table_is_as_strict_as_the_kernel() -> None:
    element = Element("svc", (1,))
    with pytest.raises(KeyError):
        applied({}, Change(delete=((element, (1,)),)))
    with pytest.raises(ValueError, match="exists"):
        applied({element: (1,)}, Change(add=((element, (1,)),)))


def test_endpoints_in_slot_order() -> None:
    table: Table = {
        Element("ep4", (7, 1)): ("10.0.0.2", 80),
        Element("ep4", (7, 0)): ("10.0.0.1", 80),
        Element("svc", (7,)): (2,),
    }
    assert seats_of(table) == {7: (("10.0.0.1", 80), ("10.0.0.2", 80))}
    del table[Element("ep4", (7, 0))]
    assert seats_of(table) == {7: (None, ("10.0.0.2", 80))}


def test_seats_to_draw_from_in_slot_order() -> None:
    table: Table = {Element("pick", (7, 1)): (0,), Element("pick", (7, 0)): (4,), Element("cnt", (7,)): (2,)}
    assert draws_of(table) == {7: (4, 0)}


def test_the_network_between_nodes_knows_our_flags() -> None:
    """It decides by them whose source is lost, and may not import us."""
    assert (overlay.EXTERNAL, overlay.KEEP) == (EXTERNAL, KEEP)
    assert diversion.MARK & (LOCAL | EXTERNAL | RANGES | KEEP | KEY_MASK | affinity.NOBODY) == 0


def test_an_address_has_one_spelling() -> None:
    assert {canonical(text) for text in ("fd44::5", "FD44::5", "fd44:0:0::05")} == {"fd44::5"}
    assert canonical("10.0.0.1") == "10.0.0.1"
