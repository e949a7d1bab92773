from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.api.tables import column

NOW = 1_735_689_600.0  # 2025-01-01T00:00:00Z
POD: Obj = {
    "metadata": {"name": "web", "creationTimestamp": "2024-12-31T23:59:00Z", "labels": {"b": "2", "a": "1"}},
    "spec": {
        "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}],
        "nodeName": "",
        "zero": 0,
    },
}


def test_a_column_tells_kubectl_when_to_show_it() -> None:
    shown = column.wide("Node", column.at("spec.nodeName"))[0].definition()
    assert shown == {"name": "Node", "type": "string", "format": "", "description": "", "priority": 1}
    assert column.integer("Ready", column.at("x"))[0].definition()["type"] == "integer"
    assert column.NAME[0].definition() | {"description": ""} == {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "",
        "priority": 0,
    }


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (column.at("metadata.name"), "web"),
        (column.at("spec.nodeName", "<none>"), "<none>"),
        (column.at("spec.zero", "<none>"), 0),
        (column.at("metadata.name.deeper", "<none>"), "<none>"),
        (column.at("status.phase"), ""),
        (column.size("spec.containers", "spec.initContainers"), 2),
        (column.joined("metadata.finalizers", "<none>"), "<none>"),
        (column.labels("metadata.labels"), "a=1,b=2"),
        (column.labels("spec.selector"), "<none>"),
        (column.age_of("metadata.creationTimestamp"), "60s"),
        (column.age_of("status.startTime"), "<unknown>"),
        (column.selector("metadata"), ""),
    ],
)
def test_what_a_reader_reads(cell: column.Cell, shown: Any) -> None:
    if shown == "":
        assert not cell(POD, NOW) or cell(POD, NOW) == "<none>"
        return
    assert cell(POD, NOW) == shown


def test_a_printer_reads_a_cell_for_each_column() -> None:
    printer = column.printer(column.NAME, *column.containers("spec"), column.AGE)
    assert [c.name for c in printer.columns] == ["Name", "Containers", "Images", "Age"]
    assert printer.cells(POD, NOW) == ["web", "c,d", "i,j", "60s"]


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1), max_size=8), st.integers(1, 5))
def test_a_long_list_is_cut_and_its_rest_counted(items: list[str], limit: int) -> None:
    shown = column.first_few(items, limit)
    listed, _, rest = shown.partition(" + ")
    assert listed == ",".join(items[:limit])
    assert rest == (f"{len(items) - limit} more..." if len(items) > limit else "")


@given(st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner)))
def test_a_path_finds_a_value_or_nothing_and_never_fails(found: Any) -> None:
    obj = found if isinstance(found, dict) else {}
    assert column.at("a.b.c", "-")({"a": obj}, NOW) in (column.find({"a": obj}, "a.b.c"), "-")
