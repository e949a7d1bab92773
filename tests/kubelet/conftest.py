"""Real containers for tests: a busybox image, and a place for a runtime that is empty again afterwards."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def busybox() -> ModuleType:
    """tests/kubelet/images/busybox.py"""
    path = Path(__file__).parent / "images" / "busybox.py"
    spec = importlib.util.spec_from_file_location("sampan_test_busybox", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """As in real life: not below pytest's long paths, and on a disk that overlayfs accepts."""
    directory = Path(tempfile.mkdtemp(prefix="sampan-test-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def busybox_layer(busybox: ModuleType, short_dir: Path) -> Path:
    """The image's one layer, unpacked."""
    directory = short_dir / "busybox"
    directory.mkdir()
    with tarfile.open(fileobj=io.BytesIO(busybox.layer(busybox.tree()))) as tar:
        tar.extractall(directory, filter="tar")
    return directory


@pytest.fixture(autouse=True)
def _needs_root(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
