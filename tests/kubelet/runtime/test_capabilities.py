from __future__ import annotations

import pytest

from sampan.kubelet.runtime.capabilities import DEFAULT, NAMES, bounding_set, effective, unknown

ALL = frozenset(NAMES)


@pytest.mark.parametrize(
    ("add", "drop", "granted"),
    [
        ([], [], DEFAULT),
        (["NET_ADMIN"], [], DEFAULT | {"CAP_NET_ADMIN"}),
        (["cap_net_admin"], ["CAP_CHOWN"], (DEFAULT | {"CAP_NET_ADMIN"}) - {"CAP_CHOWN"}),
        ([], ["ALL"], frozenset()),
        (["NET_BIND_SERVICE"], ["ALL"], {"CAP_NET_BIND_SERVICE"}),
        (["ALL"], [], ALL),
        (["ALL"], ["SYS_ADMIN"], ALL - {"CAP_SYS_ADMIN"}),
        (["KILL"], ["KILL"], DEFAULT - {"CAP_KILL"}),
    ],
)
def test_add_and_drop(add: list[str], drop: list[str], granted: frozenset[str]) -> None:
    assert effective(add, drop, privileged=False, bounding=ALL) == (sorted(granted), [])


def test_nobody_gets_more_than_the_node_has() -> None:
    own = ALL - {"CAP_SYS_RESOURCE"}
    assert effective(["ALL"], [], privileged=False, bounding=own) == (sorted(own), [])
    assert effective([], ["ALL"], privileged=True, bounding=own) == (sorted(own), [])
    granted, refused = effective(["SYS_RESOURCE", "NET_ADMIN"], ["ALL"], privileged=False, bounding=own)
    assert (granted, refused) == (["CAP_NET_ADMIN"], ["CAP_SYS_RESOURCE"])


def test_names_follow_the_kernels_numbers() -> None:
    numbers = {"CAP_CHOWN": 0, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24}
    assert {name: NAMES.index(name) for name in numbers} == numbers
    assert (len(NAMES), NAMES[-1]) == (41, "CAP_CHECKPOINT_RESTORE")
    assert bounding_set() <= ALL


def test_what_is_no_capability_at_all() -> None:
    assert unknown(["net_admin", "CAP_CHOWN", "all", "CAP_ALL", "FLY", "cap_swim"]) == [
        "FLY",
        "cap_swim",
    ]
