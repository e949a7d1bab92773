"""The rules of the house that a machine can hold it to.

ARCHITECTURE.md follows one Pod and one Service through all rooms; each room has one noun's worth of lines,
and its test stands where one looks for it.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Fakes stand beside what they play, contracts are listed apart; packages of tables are named as a whole.
OF_NO_NOTE = {"__init__", "__main__", "fake", "contract", "memory"}
WHOLE = ("api/defaults/", "api/validation/", "api/tables/")
MOST_LINES = 400
# A test that holds several rooms to what they do together -> those that have none of their own.
TOGETHER = {
    "api/tables/test_tables": "api/tables/{core,governance,network,workloads}",
    "api/validation/test_pod": "api/validation/{containers,env,probes,scheduling}",
    "api/validation/test_validation": "api/validation/rules",
    "apiserver/proxying/test_proxy": "apiserver/proxying/{backend,connect,nodes}",
    "apiserver/registry/test_kinds": "apiserver/registry/hooks",
    "apiserver/test_http": "apiserver/connection",
    "apiserver/test_server": "apiserver/{render,rest,transport}",
    "apiserver/test_watching": "apiserver/sinks",
    "client/test_https": "client/{client,http}",
    "client/test_informer": "client/{errors,informers}",
    "controllers/persistentvolume/test_claims": "controllers/persistentvolume/{step,volumes,written}",
    "e2e/test_dns": "cli/nodedns",
    "integration/test_kubectl": "apiserver/streams/{connect,logs}",
    "integration/test_python_client": "apiserver/streams/{portforward,terminal}",
    "kubelet/images/test_store": "kubelet/images/catalogue",
    "kubelet/network/test_node": "kubelet/network/rtnetlink",
    "kubelet/runtime/test_crun": "kubelet/runtime/{attach,builder,exec,host,libc,orphans,pause,pods,purge}",
    "kubelet/runtime/test_containers": "kubelet/runtime/container",
    "kubelet/test_configfile": "kubelet/config",
    "kubelet/test_kubelet": "kubelet/{adoption,parts,reporter,starter}",
    "kubelet/test_logs": "kubelet/logwatch",
    "kubelet/test_plan": "kubelet/actions",
    "kubelet/test_probers": "kubelet/grpchealth",
    "kubelet/test_status": "kubelet/containerstatus",
    "proxy/test_chains": "proxy/nft",
    "store/test_sqlite": "store/log",
}
# What components agree upon: nothing there could fail.
AGREEMENTS = {"api/request", "api/streams"}
MODULES = sorted(
    str(path.relative_to(ROOT / "src/sampan").with_suffix(""))
    for path in (ROOT / "src/sampan").rglob("*.py")
    if path.stem not in OF_NO_NOTE
)


def named() -> set[str]:
    """What stands in backquotes, with and without its folder."""
    quoted = re.findall(r"`([\w/.{},]+)`", (ROOT / "ARCHITECTURE.md").read_text())
    return {part for words in quoted for part in (words, words.rpartition("/")[2])}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith(WHOLE)])
def test_the_walk_passes_through(module: str) -> None:
    folder, _, noun = module.rpartition("/")
    assert noun in named() or (noun == "controller" and folder.rpartition("/")[2] in named())


@pytest.mark.parametrize("module", MODULES)
def test_a_room_has_one_nouns_worth_of_lines(module: str) -> None:
    lines = (ROOT / f"src/sampan/{module}.py").read_text().count("\n")
    assert lines <= MOST_LINES, "there are two nouns in it"


def tested_together() -> dict[str, str]:
    """Each room that has no test of its own, and the test that holds it to what it does."""
    found = {}
    for test, rooms in TOGETHER.items():
        folder, _, nouns = rooms.rpartition("/")
        for noun in nouns.strip("{}").split(","):
            found[f"{folder}/{noun}"] = test
    return found


def twin(module: str) -> Path:
    folder, _, noun = module.rpartition("/")
    return ROOT / "tests" / folder / f"test_{noun}.py"


@pytest.mark.parametrize("module", [module for module in MODULES if module not in AGREEMENTS])
def test_a_room_is_tested_where_one_looks_for_it(module: str) -> None:
    elsewhere = tested_together().get(module, "")
    assert twin(module).exists() or (ROOT / f"tests/{elsewhere}.py").exists()


def test_no_excuse_outlives_its_room() -> None:
    assert set(tested_together()) | AGREEMENTS <= set(MODULES)
