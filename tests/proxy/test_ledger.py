from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.proxy.ledger import Ledger
from sampan.proxy.rules import EMPTY, Flows, Fragment
from sampan.proxy.ruleset import fixed_elements
from sampan.proxy.table import Change, Element, Table, applied

HAIR = Element("hair4", ("10.0.0.1", "10.0.0.1"))


def fe(address: str) -> Element:
    return Element("fe4", (address, "tcp", 80))


def test_shared_element_stays_until_the_last_service_lets_go() -> None:
    ledger = Ledger()
    piece = Fragment({fe("a"): (1,)}, {HAIR: ()})
    other = Fragment({fe("b"): (2,)}, {HAIR: ()})
    assert ledger.update({"x/a": piece, "x/b": other}).change.add.count((HAIR, ())) == 1
    assert ledger.update({"x/a": EMPTY}).change == Change(((fe("a"), (1,)),))
    assert (HAIR, ()) in ledger.update({"x/b": EMPTY}).change.delete
    assert ledger.table == {}


def test_address_passes_from_a_deleted_service_to_a_new_one_in_one_change() -> None:
    ledger = Ledger()
    ledger.update({"x/old": Fragment({fe("a"): (1,)})})
    step = ledger.update({"x/old": EMPTY, "x/new": Fragment({fe("a"): (2,)})})
    assert step.change == Change(((fe("a"), (1,)),), ((fe("a"), (2,)),))


def test_contested_element_stays_with_the_first_and_then_passes_on() -> None:
    ledger = Ledger()
    ledger.update({"x/first": Fragment({fe("a"): (1,)})})
    assert not ledger.update({"x/second": Fragment({fe("a"): (2,)})}).change
    assert ledger.update({"x/first": Fragment({fe("a"): (3,)})}).change.add == ((fe("a"), (3,)),)
    assert ledger.update({"x/first": EMPTY}).change.add == ((fe("a"), (2,)),)
    assert ledger.update({"x/second": EMPTY}).change.delete == ((fe("a"), (2,)),)
    assert ledger.table == {}


def test_classes_stay_once_made() -> None:
    ledger = Ledger(fixed_elements())
    extra = Element("class", (99,))
    assert ledger.update({"x/a": Fragment({}, {extra: ("n99",)})}).change.add == ((extra, ("n99",)),)
    assert not ledger.update({"x/a": EMPTY}).change


def test_flows_and_ready_addresses() -> None:
    ledger = Ledger()
    flow = Flows(1, "10.0.0.1", 53)
    piece = Fragment(ready=("10.0.0.1",), flows=frozenset({flow}))
    ledger.update({"x/a": piece, "x/b": piece})
    assert ledger.leads_to("10.0.0.1")
    assert ledger.update({"x/a": EMPTY}).stale_flows == {Flows(1)}
    assert ledger.leads_to("10.0.0.1")
    ledger.update({"x/b": EMPTY})
    assert not ledger.leads_to("10.0.0.1")


ELEMENTS: st.SearchStrategy[Table] = st.dictionaries(
    st.sampled_from([fe(address) for address in "abcd"]), st.tuples(st.integers(1, 3)), max_size=4
)
SHARED: st.SearchStrategy[Table] = st.dictionaries(
    st.sampled_from([Element("hair4", (address, address)) for address in "abc"]), st.just(()), max_size=3
)
FRAGMENTS = st.builds(Fragment, ELEMENTS, SHARED)
UPDATES = st.lists(
    st.dictionaries(st.sampled_from("pqr"), FRAGMENTS | st.just(EMPTY), max_size=3), max_size=8
)


@given(UPDATES)
def test_changes_keep_a_strict_kernel_in_step(updates: list[dict[str, Fragment]]) -> None:
    """Whatever comes, each change can be applied, and the table is exactly the fragments' union."""
    ledger = Ledger()
    kernel: Table = {}
    present: dict[str, Fragment] = {}
    for update in updates:
        kernel = applied(kernel, ledger.update(update).change)
        present |= update
        assert kernel == ledger.table
        claimed = {element for piece in present.values() for element in (*piece.elements, *piece.shared)}
        assert set(kernel) == claimed
        for element, value in kernel.items():
            owners = [piece.elements | piece.shared for piece in present.values()]
            assert value in [piece[element] for piece in owners if element in piece]
    assert not ledger.update(dict.fromkeys("pqr", EMPTY)).change.add
    assert ledger.table == {}
