from __future__ import annotations

import pytest

from sampan.api.validation import runtimeclass

TOLERATION = {"key": "a", "operator": "Exists"}
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        ({"handler": "runc", "overhead": {"podFixed": {"cpu": "1m", "memory": "1Mi"}}}, []),
        ({"handler": "runc", "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [TOLERATION]}}, []),
        ({"handler": "Run.C"}, [f'handler: Invalid value: "Run.C": {LABEL}']),
        ({"handler": ""}, [f'handler: Invalid value: "": {LABEL}']),
        (
            {"handler": "h", "overhead": {"podFixed": {"cpu": "-1"}}},
            ['overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            {"handler": "h", "scheduling": {"nodeSelector": {"a b": "c"}}},
            ['scheduling.nodeSelector: Invalid value: "a b": name part must consist of'],
        ),
        (
            {"handler": "h", "scheduling": {"tolerations": [TOLERATION, TOLERATION]}},
            ['scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}'],
        ),
    ],
)
def test_classes(obj, found) -> None:
    texts = [error.text for error in runtimeclass.create(obj)]
    assert len(texts) == len(found)
    for text, start in zip(texts, found, strict=True):
        assert text.startswith(start)


def test_a_class_keeps_its_handler() -> None:
    found = runtimeclass.update({"handler": "b"}, {"handler": "a"})
    assert [error.text for error in found] == ['handler: Invalid value: "b": field is immutable']
