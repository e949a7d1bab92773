from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.proxy import keys
from sampan.proxy.keys import Frontend, Keys
from sampan.proxy.table import FRONTENDS

PORTS = [Frontend("10.96.0.1", "tcp", port) for port in range(5)]


@given(st.lists(st.tuples(st.sampled_from(PORTS), st.booleans()), max_size=40))
def test_a_key_is_one_ports_alone_for_as_long_as_the_port_lives(steps: list[tuple[Frontend, bool]]) -> None:
    found, living = Keys(), dict[Frontend, int]()
    for port, wanted in steps:
        if wanted:
            key = found.key(port)
            assert key == living.setdefault(port, key) and key > 0
        else:
            found.release(port)
            living.pop(port, None)
        assert len(set(living.values())) == len(living)


def test_a_freed_key_rests_until_all_others_have_had_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "KEY_MASK", 3)
    found = Keys()
    assert [found.key(port) for port in PORTS[:2]] == [1, 2]
    found.release(PORTS[0])
    assert found.key(PORTS[2]) == 3
    assert found.key(PORTS[3]) == 1


def test_the_next_process_goes_on_where_the_last_one_was() -> None:
    found = Keys()
    found.adopt({(f"{FRONTENDS[0]}4", PORTS[0]): (7,), ("other", PORTS[1]): (99,)})
    assert found.key(PORTS[0]) == 7
    assert found.key(PORTS[1]) == 8
