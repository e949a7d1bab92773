from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from harness.node import Node
from harness.scene import Scene

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api(node: Node) -> client.ApiClient:
    return config.new_client_from_config(str(node.kubeconfig))


@pytest.fixture
def scene(node: Node, api: client.ApiClient) -> Iterator[Scene]:
    core = client.CoreV1Api(api)
    name = f"conformance-{next(numbers)}"
    core.create_namespace({"metadata": {"name": name}})
    yield Scene(node, name, api)
    core.delete_namespace(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("conformance"):
            if why := mark.kwargs["fails"]:
                item.add_marker(pytest.mark.xfail(reason=why, strict=True))
