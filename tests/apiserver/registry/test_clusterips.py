from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import SERVICE_CIDRS, SERVICES
from sampan.apiserver.registry.clusterips import gives


def service(name: str, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def refusal(api, **spec) -> str:
    with pytest.raises(StatusError) as caught:
        await api.create(SERVICES, service("refused", **spec))
    return caught.value.message


async def test_the_ends_of_a_range_are_nobodys(api) -> None:
    for address in ("10.96.0.0", "10.96.255.255"):
        assert await refusal(api, clusterIP=address) == (
            f'Service "refused" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: '
            f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
            "The range of valid IPs is 10.96.0.0/16"
        )
    assert "the provided network does not match the current range" in await refusal(
        api, clusterIP="10.97.0.1"
    )


async def test_another_service_cidr_widens_what_is_given(api) -> None:
    body = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24", "fd00:200::/112"]}}
    await api.create(SERVICE_CIDRS, body)
    made = await api.create(SERVICES, service("a", clusterIP="10.200.0.7"))
    assert made["spec"]["clusterIP"] == "10.200.0.7"
    # the cluster has one family, whatever a ServiceCIDR says
    assert "not configured on this cluster" in await refusal(api, ipFamilies=["IPv6"])


async def test_a_full_range_gives_over_to_the_next(serve) -> None:
    async with serve(service_cidrs=("10.96.0.0/30",)) as api:  # the API's own has the first of two
        first = (await api.create(SERVICES, service("a")))["spec"]["clusterIP"]
        assert first == "10.96.0.2"
        full = "Internal error occurred: failed to allocate a serviceIP: range is full"
        assert await refusal(api) == full
        body = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/30"]}}
        await api.create(SERVICE_CIDRS, body)
        assert (await api.create(SERVICES, service("b")))["spec"]["clusterIP"].startswith("10.200.0.")


def cidr(*conditions: tuple[str, str], **metadata: str):
    listed = [{"type": kind, "status": status} for kind, status in conditions]
    return {"metadata": metadata, "status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (cidr(), True),
        (cidr(("Ready", "True")), True),
        (cidr(("Other", "False")), True),
        (cidr(("Ready", "False")), False),
        (cidr(("Ready", "True"), deletionTimestamp="2026-01-01T00:00:00Z"), False),
    ],
)
def test_a_service_cidr_gives_while_it_is_ready_and_stays(obj, expected) -> None:
    assert gives(obj) is expected
