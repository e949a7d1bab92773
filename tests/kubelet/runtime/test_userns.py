from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.userns import COUNT, allot, delegated, made

LAST = (1 << 32) - 2 * COUNT


def lot(number: int):
    def draw(low: int, high: int) -> int:
        assert low <= number < high
        return number

    return draw


@pytest.mark.parametrize(
    ("taken", "reserved", "drawn", "first"),
    [
        ((), (), 7, 7 * COUNT),
        ((7 * COUNT,), (), 7, 8 * COUNT),
        ((LAST,), (), LAST // COUNT, COUNT),
        ((), (range(100_000, 165_536),), 1, 3 * COUNT),
        ((), (range(COUNT, LAST),), 9, LAST),
    ],
)
def test_no_two_pods_share_ids(taken, reserved, drawn, first) -> None:
    assert allot(taken, reserved, lot(drawn)) == first


def test_there_may_be_none_left() -> None:
    with pytest.raises(OSError, match="all ranges of user IDs are taken"):
        allot((), [range(1, 1 << 32)])


def test_what_users_were_given(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("bob:100000:65536\n# nothing\nbroken:x:1\n\nann:300000:10\n")
    files = [tmp_path / "subuid", tmp_path / "missing"]
    assert delegated(files) == [range(100_000, 165_536), range(300_000, 300_010)]


@pytest.mark.root
def test_namespaces_belong_to_the_new_user_namespace() -> None:
    with made(("net", "uts"), 1_000_000) as files:
        links = {kind: (files / kind).readlink() for kind in ("user", "net", "uts", "ipc")}
        own = {kind: Path(f"/proc/self/ns/{kind}").readlink() for kind in links}
        assert [kind for kind in links if links[kind] == own[kind]] == ["ipc"]
        assert (files.parent / "uid_map").read_text().split() == ["0", "1000000", str(COUNT)]
    assert not files.exists()
