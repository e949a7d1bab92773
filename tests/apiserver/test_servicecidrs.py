from __future__ import annotations

import asyncio

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import SERVICE_CIDRS, SERVICES
from sampan.apiserver.servicecidrs import FINALIZER, orphans
from sampan.store.memory import MemoryStore


def cidr(name: str, *cidrs: str) -> Obj:
    return {"metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}}


def service(name: str, **spec) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def until(api, name: str, condition):
    """The object, once `condition` holds of it (of None, when it is gone)."""
    async with asyncio.timeout(30):
        while True:
            try:
                obj = await api.call("get", SERVICE_CIDRS, name)
            except StatusError as error:
                assert error.code == 404
                obj = None
            if condition(obj):
                return obj
            await asyncio.sleep(0.01)


def ready(obj: Obj | None) -> str | None:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == "Ready"), None)


async def test_every_cluster_has_one_from_the_start(dual) -> None:
    obj = await until(dual, "kubernetes", lambda obj: FINALIZER in (obj["metadata"].get("finalizers") or ()))
    assert obj["spec"]["cidrs"] == ["10.96.0.0/16", "fd00:96::/112"]
    assert ready(obj) == "True"
    assert obj["status"]["conditions"][0]["message"] == "Kubernetes default Service CIDR is ready"


async def test_a_new_one_is_ready_and_protected(api) -> None:
    await api.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/24"))
    obj = await until(api, "more", lambda obj: ready(obj) == "True")
    assert obj["metadata"]["finalizers"] == [FINALIZER]
    assert obj["status"]["conditions"][0]["message"] == "Kubernetes Service CIDR is ready"


async def test_it_goes_at_once_when_nobody_has_an_address_of_it(api) -> None:
    await api.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/24"))
    await until(api, "more", lambda obj: ready(obj) == "True")
    await api.call("delete", SERVICE_CIDRS, "more")
    await until(api, "more", lambda obj: obj is None)


async def test_it_stays_while_an_address_of_it_is_in_use_and_gives_none_anew(api) -> None:
    await api.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/24"))
    await until(api, "more", lambda obj: ready(obj) == "True")
    await api.create(SERVICES, service("a", clusterIP="10.200.0.5"))
    await api.call("delete", SERVICE_CIDRS, "more")
    obj = await until(api, "more", lambda obj: ready(obj) == "False")
    (condition,) = obj["status"]["conditions"]
    assert condition["reason"] == "Terminating"
    assert condition["message"].startswith("There are still IPAddresses referencing the ServiceCIDR")
    with pytest.raises(StatusError, match="the provided network does not match the current range"):
        await api.create(SERVICES, service("b", clusterIP="10.200.0.6"))
    kept = await api.call("patch", SERVICES, "a", {"metadata": {"labels": {"x": "y"}}})
    assert kept["spec"]["clusterIP"] == "10.200.0.5"
    await api.call("delete", SERVICES, "a")
    await until(api, "more", lambda obj: obj is None)


async def test_it_may_go_when_another_has_its_addresses(api) -> None:
    await api.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/24"))
    await api.create(SERVICES, service("a", clusterIP="10.200.0.5"))
    await until(api, "more", lambda obj: ready(obj) == "True")
    await api.call("delete", SERVICE_CIDRS, "more")
    await until(api, "more", lambda obj: ready(obj) == "False")
    await api.create(SERVICE_CIDRS, cidr("wider", "10.200.0.0/16"))
    await until(api, "more", lambda obj: obj is None)


async def test_the_clusters_own_stays_for_the_sake_of_its_api(api) -> None:
    await until(api, "kubernetes", lambda obj: FINALIZER in (obj["metadata"].get("finalizers") or ()))
    await api.call("delete", SERVICE_CIDRS, "kubernetes")
    await until(api, "kubernetes", lambda obj: ready(obj) == "False")


async def test_a_second_family_is_added_at_the_next_start(serve) -> None:
    store = MemoryStore()
    async with serve(store):
        pass
    async with serve(store, service_cidrs=("10.96.0.0/16", "fd00:96::/112")) as api:
        obj = await api.call("get", SERVICE_CIDRS, "kubernetes")
        assert obj["spec"]["cidrs"] == ["10.96.0.0/16", "fd00:96::/112"]
        await api.create(SERVICES, service("a", ipFamilyPolicy="RequireDualStack"))


@pytest.mark.parametrize(
    ("going", "staying", "held", "found"),
    [
        (["10.0.0.0/24"], [], ["10.0.0.1", "10.0.1.1"], ["10.0.0.1"]),
        (["10.0.0.0/24", "fd00::/112"], [], ["fd00::9"], ["fd00::9"]),
        (["10.0.0.0/24"], [["10.0.0.0/16"]], ["10.0.0.1"], []),
        (["10.0.0.0/24"], [["10.0.0.0/28"]], ["10.0.0.1", "10.0.0.99"], ["10.0.0.99"]),
        (["10.0.0.0/24"], [["fd00::/112"], ["10.0.0.0/24"]], ["10.0.0.1"], []),
    ],
)
def test_orphans(going, staying, held, found) -> None:
    assert orphans(cidr("a", *going), [cidr("b", *each) for each in staying], held) == found


BAD = [
    ([], "spec.cidrs: Required value: at least one CIDR required"),
    (["10.0.0.0/8", "fd00::/64", "fd01::/64"], "may only hold up to 2 values"),
    (["10.0.0.1/8"], 'spec.cidrs[0]: Invalid value: "10.0.0.1/8": must be in canonical form ("10.0.0.0/8")'),
    (["here"], "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
    (["10.0.0.0/8", "192.168.0.0/24"], "may specify no more than one IP for each IP family"),
]


@pytest.mark.parametrize(("cidrs", "said"), BAD)
async def test_what_is_no_service_cidr(api, cidrs: list[str], said: str) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create(SERVICE_CIDRS, cidr("bad", *cidrs))
    assert caught.value.code == 422 and said in caught.value.message
