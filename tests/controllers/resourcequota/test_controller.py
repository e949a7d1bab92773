"""What quotas show, over an API server in memory."""

from __future__ import annotations

from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj, mutable
from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.controllers.resourcequota.controller import RESOURCE_QUOTAS, ResourceQuotaController


def quota(name: str = "q", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def pod(name: str, cpu: str = "", phase: str = "Running", namespace: str = "default") -> Obj:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase},
    }


def config_map(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


class World(BaseWorld):
    def status(self, name: str = "q") -> Obj:
        found = self.fake.get(RESOURCE_QUOTAS, name, "default")
        assert found is not None
        return found.get("status") or {}

    def used(self, name: str = "q") -> Obj:
        return self.status(name).get("used") or {}

    def state(self) -> object:
        return [self.status(each["metadata"]["name"]) for each in self.fake.objects(RESOURCE_QUOTAS)]


async def test_what_is_there_is_shown_and_followed() -> None:
    start = World(quota(hard={"pods": "5", "cpu": "1"}), pod("a", "100m"), pod("b", "1", namespace="other"))
    async with running(start, ResourceQuotaController) as it:
        await it.until(
            lambda: it.status() == {"hard": {"pods": "5", "cpu": "1"}, "used": {"pods": "1", "cpu": "100m"}}
        )
        it.fake.add(pod("c", "200m"))
        await it.until(lambda: it.used() == {"pods": "2", "cpu": "300m"})
        it.fake.remove(PODS, "a", "default")
        await it.until(lambda: it.used() == {"pods": "1", "cpu": "200m"})
        it.fake.add(pod("c", "200m", phase="Failed"))
        await it.until(lambda: it.used() == {"pods": "0", "cpu": "0"})


async def test_what_somebody_else_writes_is_put_right() -> None:
    async with running(World(quota(hard={"configmaps": "5"})), ResourceQuotaController) as it:
        await it.until(lambda: it.used() == {"configmaps": "0"})
        wrong = mutable(it.fake.get(RESOURCE_QUOTAS, "q", "default") or {})
        wrong["status"] = {"hard": {"configmaps": "9"}, "used": {}}
        it.fake.add(wrong)
        await it.until(lambda: it.status() == {"hard": {"configmaps": "5"}, "used": {"configmaps": "0"}})


async def test_another_spec_is_counted_anew() -> None:
    async with running(
        World(quota(hard={"pods": "5"}), pod("a"), config_map("m")), ResourceQuotaController
    ) as it:
        await it.until(lambda: it.used() == {"pods": "1"})
        it.fake.add(quota(hard={"count/configmaps": "5", "pods": "1"}, scopes=[]))
        await it.until(lambda: it.used() == {"count/configmaps": "1", "pods": "1"})
        it.fake.add(config_map("n"))
        await it.until(lambda: it.used()["count/configmaps"] == "2")
        it.fake.remove(CONFIG_MAPS, "n", "default")
        await it.until(lambda: it.used()["count/configmaps"] == "1")


async def test_quotas_of_one_namespace_see_what_their_scope_lets_them() -> None:
    best = quota("best", hard={"pods": "5"}, scopes=["BestEffort"])
    rest = quota("rest", hard={"pods": "5"}, scopes=["NotBestEffort"])
    async with running(World(best, rest, pod("a", "1")), ResourceQuotaController) as it:
        await it.until(lambda: it.used("best") == {"pods": "0"} and it.used("rest") == {"pods": "1"})
        it.fake.add(pod("b"))
        await it.until(lambda: it.used("best") == {"pods": "1"})
        assert it.used("rest") == {"pods": "1"}
