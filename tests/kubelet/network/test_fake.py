from __future__ import annotations

import pytest

from sampan.kubelet.network.contract import NetworkFault, PodAddresses
from sampan.kubelet.network.fake import FakeNetwork


async def test_keeps_the_contract() -> None:
    network = FakeNetwork("10.244.0.0/29")
    await network.open()
    assert await network.attach("a", "/x") == PodAddresses(("10.244.0.2",))
    assert await network.attach("a", "/x") == network.addresses("a")
    assert (await network.attach("b", "/y")).ips == ("10.244.0.3",)
    await network.detach("a")
    await network.detach("a")
    assert network.addresses("a") is None
    assert (await network.attach("c", "/z")).ips == ("10.244.0.4",)


async def test_fault_and_exhaustion() -> None:
    network = FakeNetwork("10.244.0.0/30")
    network.fault = "no luck"
    with pytest.raises(NetworkFault, match="no luck"):
        await network.attach("a", "/x")
    await network.attach("a", "/x")
    with pytest.raises(NetworkFault, match="no free"):
        await network.attach("b", "/x")
