from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver.patching import PATCH_TYPES, apply_patch

KIND = ("v1", "Service")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/spec/ports/-", "value": {"port": 81}}]),
        ("application/merge-patch+json", {"spec": {"ports": [{"port": 80}, {"port": 81}]}}),
        ("application/strategic-merge-patch+json", {"spec": {"ports": [{"port": 81}]}}),
    ],
)
def test_each_content_type_is_its_own_patch(content_type: str, body) -> None:
    patched = apply_patch({"spec": {"ports": [{"port": 80}]}}, body, content_type, KIND)
    assert sorted(port["port"] for port in patched["spec"]["ports"]) == [80, 81]
    assert content_type in PATCH_TYPES


def test_what_is_no_patch_is_refused() -> None:
    with pytest.raises(StatusError) as caught:
        apply_patch({}, {}, "application/json", KIND)
    assert caught.value.code == 415 and "application/merge-patch+json" in caught.value.message
