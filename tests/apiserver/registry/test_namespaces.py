from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import mutable
from sampan.api.resources import CONFIG_MAPS, NAMESPACES


async def refused(awaitable: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await awaitable
    return caught.value


async def test_a_namespace_waits_for_its_finalizer(api) -> None:
    made = await api.create(NAMESPACES, {"metadata": {"name": "t"}})
    assert made["status"] == {"phase": "Active"} and made["spec"] == {"finalizers": ["kubernetes"]}
    marked = mutable(await api.call("delete", NAMESPACES, "t"))
    assert marked["status"]["phase"] == "Terminating"
    marked["spec"]["finalizers"] = []
    await api.call("update", NAMESPACES, "t", marked, sub="finalize")
    assert (await refused(api.call("get", NAMESPACES, "t"))).code == 404


async def test_nothing_new_enters_a_namespace_that_goes(api) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "t"}})
    await api.call("delete", NAMESPACES, "t")
    error = await refused(api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="t"))
    assert error.code == 403
    assert error.message == (
        'configmaps "a" is forbidden: '
        "unable to create new content in namespace t because it is being terminated"
    )
    assert error.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_a_create_that_races_with_the_deletion_is_before_it_or_refused(api) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "t"}})
    deletion = asyncio.ensure_future(api.call("delete", NAMESPACES, "t"))
    creates = [
        asyncio.ensure_future(api.create(CONFIG_MAPS, {"metadata": {"name": f"c{i}"}}, namespace="t"))
        for i in range(5)
    ]
    marked = int((await deletion)["metadata"]["resourceVersion"])
    for made in await asyncio.gather(*creates, return_exceptions=True):
        if not isinstance(made, StatusError):
            assert int(made["metadata"]["resourceVersion"]) < marked


async def test_a_namespace_that_is_not_there_takes_nothing(api) -> None:
    error = await refused(api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="nope"))
    assert (error.code, error.message) == (404, 'namespaces "nope" not found')


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_are_immortal(api, name: str) -> None:
    error = await refused(api.call("delete", NAMESPACES, name))
    assert error.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_a_deleted_name_can_be_used_again(api) -> None:
    for _ in range(2):
        await api.create(NAMESPACES, {"metadata": {"name": "t"}})
        marked = mutable(await api.call("delete", NAMESPACES, "t"))
        marked["spec"] = {}
        await api.call("update", NAMESPACES, "t", marked, sub="finalize")
    await api.create(NAMESPACES, {"metadata": {"name": "t"}})
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="t")
