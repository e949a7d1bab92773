from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import SERVICES
from sampan.store.memory import MemoryStore

SERVICE = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}


async def test_nobody_takes_another_address(api) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create(SERVICES, {**SERVICE, "spec": {**SERVICE["spec"], "externalIPs": ["192.0.2.1"]}})
    assert (
        caught.value.message
        == 'services "a" is forbidden: Use of external IPs is denied by admission control'
    )
    await api.create(SERVICES, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}})
    with pytest.raises(StatusError):
        await api.call("patch", SERVICES, "a", {"spec": {"externalIPs": ["192.0.2.1"]}})


async def test_networks_that_the_operator_allows_may_be_used(serve) -> None:
    async with serve(external_ips=("192.0.2.0/24", "2001:db8::/64")) as api:
        spec = {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1", "2001:db8::1"]}
        made = await api.create(SERVICES, {"metadata": {"name": "a"}, "spec": spec})
        assert made["spec"]["externalTrafficPolicy"] == "Cluster"
        with pytest.raises(StatusError) as caught:
            await api.call("patch", SERVICES, "a", {"spec": {"externalIPs": ["192.0.2.1", "198.51.100.1"]}})
        assert caught.value.code == 403
        assert "Use of external IP 198.51.100.1 is denied by admission control" in caught.value.message


async def test_what_a_service_has_it_keeps_when_it_is_no_longer_allowed(serve) -> None:
    store = MemoryStore()
    async with serve(store, external_ips=("192.0.2.0/24",)) as api:
        spec = {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}
        await api.create(SERVICES, {"metadata": {"name": "a"}, "spec": spec})
    async with serve(store) as api:
        await api.call("patch", SERVICES, "a", {"metadata": {"labels": {"a": "b"}}})
        await api.call("patch", SERVICES, "a", {"spec": {"externalIPs": None}})
        with pytest.raises(StatusError):
            await api.call("patch", SERVICES, "a", {"spec": {"externalIPs": ["192.0.2.1"]}})
