from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.client.cache import Cache

KEYS = st.sampled_from("abc")
VALUES = st.sets(st.sampled_from("xyz"))
# None: the object is removed
CHANGES = st.lists(st.tuples(KEYS, VALUES | st.none()), max_size=12)


def values_of(obj: Obj) -> list[str]:
    return obj["values"]


@given(CHANGES, st.integers(0, 12))
def test_an_index_finds_what_a_search_would_whenever_it_was_added(
    changes: list[tuple[str, set[str] | None]], added: int
) -> None:
    cache, model = Cache(), dict[str, Obj]()
    for number, (key, values) in enumerate(changes):
        if number == added:
            cache.add_index("values", values_of)
        if values is not None:
            model[key] = {"key": key, "values": sorted(values)}
            cache.put(key, model[key])
        elif key in model:
            del model[key]
            cache.remove(key)
    cache.add_index("values", values_of)
    for value in "xyz":
        found = {obj["key"] for obj in cache.by_index("values", value)}
        assert found == {key for key, obj in model.items() if value in obj["values"]}
    assert cache.list() == list(model.values()) and len(cache) == len(model)


def test_objects_are_shared_and_not_copied() -> None:
    cache, obj = Cache(), {"values": ["x"]}
    cache.add_index("values", values_of)
    cache.put("a", obj)
    assert cache.get("a") is obj and cache.by_index("values", "x")[0] is obj


def test_the_first_index_of_a_name_stays_and_an_unknown_one_is_an_error() -> None:
    cache = Cache()
    cache.put("a", {"values": ["x"]})
    cache.add_index("values", values_of)
    cache.add_index("values", lambda obj: [])
    assert len(cache.by_index("values", "x")) == 1
    with pytest.raises(KeyError):
        cache.by_index("other", "x")
