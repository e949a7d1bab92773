from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import SERVICES

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
