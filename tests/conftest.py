"""One real node for all tests that need one; each test has a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from harness.node import Node
from harness.secondtry import SecondTry
from harness.virtualtime import VirtualLoop
from mirror import Mirror

IMAGES = Path(os.environ.get("SAMPAN_TEST_IMAGES", "/tmp/sampan-test-images"))
ON_A_NODE = ("/e2e/", "/conformance/")
AMONG_FAKES = ("/controllers/", "/scheduler/")
"""Where nothing is real, neither is time."""
numbers = itertools.count(1)


# The same examples in every run, however long one takes: what chance finds is found by whoever looks for it
# (HYPOTHESIS_PROFILE=explore) and gets a test of its own.
SLOW = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("suite", derandomize=True, **SLOW)
hypothesis.settings.register_profile("explore", **SLOW)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SecondTry())


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    mark = item.get_closest_marker("virtual_time")
    virtual = False not in mark.args if mark else any(part in str(item.path) for part in AMONG_FAKES)
    return {"virtual": VirtualLoop} if virtual else {"real": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def mirror() -> Iterator[Mirror]:
    with Mirror(IMAGES) as serving:
        yield serving


@pytest.fixture(scope="session")
def node(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), f"e2e-{os.getpid()}-{next(numbers)}", mirror.url)
    node.up()
    try:
        yield node
    finally:
        node.down()


@pytest.fixture
def namespace(node: Node, request: pytest.FixtureRequest) -> Iterator[str]:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = words.removeprefix("test-")[:50].strip("-")
    node.kubectl("create", "namespace", name)
    yield name
    node.kubectl("delete", "namespace", name, "--wait=false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(directory in str(item.path) for directory in ON_A_NODE):
            item.add_marker(pytest.mark.node)
