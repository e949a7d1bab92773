from __future__ import annotations

from pathlib import Path

from sampan.kubelet.numbers.network import Traffic, traffic

DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       7       1    0    0    0     0          0         0        7       1    0    0    0     0       0          0
  eth0:    1000      10    1    0    0     0          0         0     2000      20    2    0    0     0       0          0
"""  # noqa: E501


def test_what_the_interface_carried(tmp_path: Path) -> None:
    (tmp_path / "7/net").mkdir(parents=True)
    (tmp_path / "7/net/dev").write_text(DEV)
    assert traffic(7, proc=tmp_path) == Traffic(1000, 10, 1, 2000, 20, 2)
    assert traffic(7, "eth1", proc=tmp_path) is None
    assert traffic(8, proc=tmp_path) is None
