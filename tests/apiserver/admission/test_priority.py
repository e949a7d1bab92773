from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import PODS, PRIORITY_CLASSES


async def test_priority_comes_from_the_class(api, pod) -> None:
    await api.create(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    body = pod("a")
    body["spec"]["priorityClassName"] = "high"
    assert (await api.create(PODS, body))["spec"]["priority"] == 1000
    assert (await api.create(PODS, pod("b")))["spec"]["priority"] == 0
    body = pod("c")
    body["spec"]["priorityClassName"] = "none"
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert caught.value.message == 'pods "c" is forbidden: no PriorityClass with name none was found'
    body["metadata"] = {"generateName": "web-"}
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert caught.value.message == 'pods "web-" is forbidden: no PriorityClass with name none was found'
