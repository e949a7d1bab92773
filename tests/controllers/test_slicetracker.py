"""Own writes laid over a cache that lags behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.controllers.slicetracker import MANAGED_BY, SERVICE_NAME, Tracker

MANAGER = "test-controller"

SERVICE = "default/web"


def piece(name: str, revision: str = "", manager: str = MANAGER) -> Obj:
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "labels": {SERVICE_NAME: "web", MANAGED_BY: manager},
    }
    if revision:
        metadata["resourceVersion"] = revision
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [],
    }


@pytest_asyncio.fixture
async def tracker() -> AsyncIterator[Tracker]:
    """Over a cache that has seen the slice `old`, at revision 1."""
    informers = Informers(Client(FakeTransport(piece("old"))))
    made = Tracker(informers.informer(ENDPOINT_SLICES), MANAGER)
    running = asyncio.create_task(informers.run())
    await informers.wait_synced()
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def names(tracker: Tracker) -> list[tuple[str, str]]:
    return [
        (each["metadata"]["name"], each["metadata"]["resourceVersion"]) for each in tracker.slices_of(SERVICE)
    ]


async def test_a_written_slice_is_seen_before_its_event(tracker: Tracker) -> None:
    tracker.wrote(SERVICE, piece("new", "5"))
    assert names(tracker) == [("old", "1"), ("new", "5")]
    tracker.wrote(SERVICE, piece("old", "6"))
    assert names(tracker) == [("old", "6"), ("new", "5")]


async def test_a_deleted_slice_is_gone_before_its_event(tracker: Tracker) -> None:
    tracker.deleted(SERVICE, "default/old")
    assert names(tracker) == []
    assert not tracker.observe(piece("old", "7"), None), "the echo asks for no second look"
    assert names(tracker) == [("old", "1")], "what is shown next is the cache's again"


async def test_echoes_ask_for_nothing_and_others_changes_do(tracker: Tracker) -> None:
    tracker.wrote(SERVICE, piece("old", "6"))
    assert not tracker.observe(None, piece("old", "4")), "older than what was written"
    assert names(tracker) == [("old", "6")]
    assert not tracker.observe(None, piece("old", "6"))
    assert names(tracker) == [("old", "1")]
    tracker.wrote(SERVICE, piece("old", "8"))
    assert tracker.observe(None, piece("old", "9"))
    assert tracker.observe(None, piece("stranger", "9"))


async def test_after_a_failed_write_the_cache_counts(tracker: Tracker) -> None:
    tracker.wrote(SERVICE, piece("new", "5"))
    tracker.distrust(SERVICE)
    assert names(tracker) == [("old", "1")]


async def test_slices_of_others_are_not_ours(tracker: Tracker) -> None:
    assert tracker.service_key(piece("a")) == SERVICE
    assert tracker.service_key(piece("a", manager="me")) == ""
