from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sampan.apiserver.entry import Entry, event_line, list_bytes, stamp

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4).map(
    lambda fields: {**fields, "metadata": {"name": "a"}}
)


@given(OBJECTS, st.integers(1, 2**63))
def test_a_stamped_object_is_itself_at_its_revision(obj: dict, revision: int) -> None:
    before = orjson.dumps(obj)
    shown = orjson.loads(stamp(obj).at(revision))
    assert shown["metadata"].pop("resourceVersion") == str(revision)
    assert shown == obj
    assert orjson.dumps(obj) == before


def test_readers_get_a_dict_for_the_moment_until_one_is_shared() -> None:
    entry = Entry("/registry/core/pods/ns/a", b'{"metadata":{"name":"a"}}', 7)
    assert entry.obj is not entry.obj and not entry.shared
    shared = entry.share()
    assert entry.obj is shared and entry.share() is shared
    assert entry.copy() == shared and entry.copy() is not shared
    entry.forget()
    assert not entry.shared and entry.obj is not shared


@given(st.lists(OBJECTS, max_size=4))
def test_a_list_is_made_of_its_items_bytes(objects: list[dict]) -> None:
    metadata = {"resourceVersion": "7"}
    found = orjson.loads(list_bytes("v1", "PodList", metadata, map(orjson.dumps, objects)))
    assert found == {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": objects}


def test_an_event_is_one_line() -> None:
    assert event_line("ADDED", b'{"a":"\\n"}') == b'{"type":"ADDED","object":{"a":"\\n"}}\n'
