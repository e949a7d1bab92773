from pathlib import Path

import pytest

from sampan.cli.access import administrator
from sampan.cli.cluster import Cluster
from sampan.cli.errors import UserError


async def test_a_cluster_that_is_down_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is down"):
        async with administrator(Cluster("one", tmp_path)):
            raise AssertionError("nobody is there")


async def test_a_process_without_an_api_is_named_with_its_log(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    lock = cluster.lock()
    assert lock is not None
    (tmp_path / "lock").write_text("1\n")
    with pytest.raises(UserError, match="its API does not answer") as caught:
        async with administrator(cluster):
            raise AssertionError("there is no kubeconfig")
    assert str(cluster.log) in caught.value.do
