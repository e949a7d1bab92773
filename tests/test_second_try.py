"""What fails once on a node passes at its second try and is named; nothing else is tried again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
import pytest
from harness.secondtry import SecondTry

nodes, tries = [], []
bad_luck = {"test_bad_luck", "test_without_a_node"}

@pytest.fixture(scope="session")
def node():
    nodes.append("up")
    yield len(nodes)
    nodes.append("down")

@pytest.fixture(scope="module")
def namespace(node):
    return {"node": node, "used": 0}

def once(name):
    tries.append(name)
    return tries.count(name) == 1

@pytest.mark.node
def test_good(namespace):
    namespace["used"] += 1

@pytest.mark.node
def test_bad_luck(namespace):
    assert not once("bad luck"), "the machine stood still"
    assert namespace == {"node": 3, "used": 0}
    assert nodes == ["up", "down", "up"]

@pytest.mark.node
def test_bad_luck_in_the_end(request, namespace):
    if once("end"):
        request.addfinalizer(lambda: 1 / 0)

@pytest.mark.node
def test_that_fails(namespace):
    once("fails")
    assert False, "truly wrong"

def test_without_a_node():
    assert not once("no node"), "no second try here"

@pytest.mark.node
@pytest.mark.parametrize("number", range(4))
def test_one_of_many(number):
    assert not once(f"many {number}"), "too many for bad luck"

def test_how_often():
    assert tries.count("fails") == 2
    assert tries.count("no node") == 1
    assert [tries.count(f"many {number}") for number in range(4)] == [2, 2, 1, 1]
"""


def test_a_second_try_is_given_to_node_tests_alone_and_told(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(
        "from harness.secondtry import SecondTry\n"
        "def pytest_configure(config):\n"
        "    config.addinivalue_line('markers', 'node: as in the real suite')\n"
        "    config.pluginmanager.register(SecondTry())\n"
    )
    ini = tmp_path / "pytest.ini"
    ini.write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\n")
    argv = [sys.executable, "-m", "pytest", "-c", str(ini), "-p", "no:cacheprovider", str(tmp_path)]
    output = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, check=False).stdout

    lucky = [line.split("::")[-1] for line in output.splitlines() if line.startswith("passed only at the")]
    assert lucky == [
        "test_bad_luck", "test_bad_luck_in_the_end", "test_one_of_many[0]", "test_one_of_many[1]",
    ], output  # fmt: skip
    assert "the machine stood still" in output and "ZeroDivisionError" in output
    assert "4 failed, 6 passed" in output, output
