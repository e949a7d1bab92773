from __future__ import annotations

import base64

import orjson
import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import CONFIG_MAPS, PODS


async def fill(api, count: int = 5) -> None:
    for number in range(count):
        await api.create(
            CONFIG_MAPS, {"metadata": {"name": f"c{number}", "labels": {"odd": str(number % 2)}}}
        )


def names(listing) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


async def test_pages_are_of_one_moment_whatever_happens_between_them(api) -> None:
    await fill(api)
    first = await api.call("list", CONFIG_MAPS, limit="2")
    assert names(first) == ["c0", "c1"] and first["metadata"]["remainingItemCount"] == 3
    await api.call("delete", CONFIG_MAPS, "c2")
    await api.create(CONFIG_MAPS, {"metadata": {"name": "c9"}})
    token = first["metadata"]["continue"]
    second = await api.call("list", CONFIG_MAPS, limit="2", **{"continue": token})
    assert names(second) == ["c2", "c3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["remainingItemCount"] == 1
    last = await api.call("list", CONFIG_MAPS, limit="2", **{"continue": second["metadata"]["continue"]})
    assert names(last) == ["c4"] and "continue" not in last["metadata"]


async def test_an_expired_page_offers_an_inconsistent_rest(api) -> None:
    await fill(api)
    first = await api.call("list", CONFIG_MAPS, limit="2")
    await api.call("delete", CONFIG_MAPS, "c4")
    await api.server.store.compact(api.server.store.revision)
    with pytest.raises(StatusError) as caught:
        await api.call("list", CONFIG_MAPS, **{"continue": first["metadata"]["continue"]})
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert caught.value.message.startswith("The provided continue parameter is too old")
    token = caught.value.status["metadata"]["continue"]
    assert names(await api.call("list", CONFIG_MAPS, **{"continue": token})) == ["c2", "c3"]


async def test_a_selection_is_paged_without_a_count(api) -> None:
    await fill(api, 6)
    first = await api.call("list", CONFIG_MAPS, limit="2", labelSelector="odd=1")
    assert names(first) == ["c1", "c3"] and "remainingItemCount" not in first["metadata"]
    token = first["metadata"]["continue"]
    await api.create(CONFIG_MAPS, {"metadata": {"name": "d", "labels": {"odd": "1"}}})
    assert names(await api.call("list", CONFIG_MAPS, labelSelector="odd=1", **{"continue": token})) == ["c5"]


async def test_an_exact_revision_shows_the_past(api) -> None:
    await fill(api, 2)
    then = (await api.call("list", CONFIG_MAPS))["metadata"]["resourceVersion"]
    await api.call("delete", CONFIG_MAPS, "c0")
    exact = {"resourceVersion": then, "resourceVersionMatch": "Exact"}
    assert names(await api.call("list", CONFIG_MAPS, **exact)) == ["c0", "c1"]
    newer = {"resourceVersion": then, "resourceVersionMatch": "NotOlderThan"}
    assert names(await api.call("list", CONFIG_MAPS, **newer)) == ["c1"]
    assert names(await api.call("list", CONFIG_MAPS, resourceVersion="0")) == ["c1"]


async def test_a_future_revision_times_out(api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.apiserver.lister.FRESH_TIMEOUT_S", 0.01)
    with pytest.raises(StatusError) as caught:
        await api.call("list", CONFIG_MAPS, resourceVersion="999999")
    assert caught.value.code == 504
    assert caught.value.status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"resourceVersionMatch": "Exact"}, "resourceVersionMatch"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, "resourceVersionMatch"),
        ({"resourceVersionMatch": "Odd", "resourceVersion": "1"}, "resourceVersionMatch"),
        ({"sendInitialEvents": "true"}, "sendInitialEvents"),
    ],
)
async def test_options_that_contradict_each_other_are_invalid(api, params, field: str) -> None:
    with pytest.raises(StatusError) as caught:
        await api.call("list", CONFIG_MAPS, **params)
    assert caught.value.code == 422
    assert caught.value.status["details"]["causes"][0]["field"] == field


@pytest.mark.parametrize(
    "token", ["rubbish!", base64.urlsafe_b64encode(orjson.dumps({"rv": "x", "start": 1})).decode()]
)
async def test_a_forged_token_is_a_bad_request(api, token: str) -> None:
    with pytest.raises(StatusError) as caught:
        await api.call("list", CONFIG_MAPS, **{"continue": token})
    assert caught.value.code == 400


async def test_fields_select(api, pod) -> None:
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
        await api.create(PODS, pod(name, node))
    assert names(await api.call("list", PODS, fieldSelector="spec.nodeName=n1")) == ["a", "c"]
    assert names(await api.call("list", PODS, fieldSelector="metadata.name=b")) == ["b"]
    assert names(await api.call("list", PODS, namespace="", fieldSelector="metadata.name=b")) == ["b"]
    with pytest.raises(StatusError) as caught:
        await api.call("list", PODS, fieldSelector="spec.hostname=x")
    assert caught.value.message == "field label not supported: spec.hostname"
    with pytest.raises(StatusError) as caught:
        await api.call("list", PODS, labelSelector="a b")
    assert caught.value.code == 400
