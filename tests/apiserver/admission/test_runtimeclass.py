from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import PODS, RUNTIME_CLASSES


@pytest.fixture
async def classes(api) -> None:
    plain = {"metadata": {"name": "plain"}, "handler": "crun"}
    heavy = {
        "metadata": {"name": "heavy"},
        "handler": "runc",
        "overhead": {"podFixed": {"cpu": "250m", "memory": "64Mi"}},
        "scheduling": {
            "nodeSelector": {"sandboxed": "yes"},
            "tolerations": [{"key": "sandbox", "operator": "Exists"}],
        },
    }
    for body in (plain, heavy):
        await api.create(RUNTIME_CLASSES, body)


def of_class(made, name: str, **spec) -> dict:
    made["spec"] |= {"runtimeClassName": name, **spec}
    return made


async def test_the_class_gives_overhead_and_place(api, pod, classes) -> None:
    made = (await api.create(PODS, of_class(pod("a"), "heavy", nodeSelector={"disk": "ssd"})))["spec"]
    assert made["overhead"] == {"cpu": "250m", "memory": "64Mi"}
    assert made["nodeSelector"] == {"disk": "ssd", "sandboxed": "yes"}
    assert {"key": "sandbox", "operator": "Exists"} in made["tolerations"]
    made = (await api.create(PODS, of_class(pod("b"), "plain")))["spec"]
    assert "overhead" not in made and "nodeSelector" not in made


async def test_the_same_overhead_in_other_words_is_the_same(api, pod, classes) -> None:
    asked = of_class(pod("a"), "heavy", overhead={"cpu": "0.25", "memory": "65536Ki"})
    assert (await api.create(PODS, asked))["spec"]["overhead"]["cpu"] == "250m"


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("none", {}, 'pod rejected: RuntimeClass "none" not found'),
        (
            "heavy",
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            "plain",
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            "heavy",
            {"nodeSelector": {"sandboxed": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[sandboxed] = yes; "
            "pod.spec.nodeSelector[sandboxed] = no",
        ),
    ],
)
async def test_what_contradicts_the_class_is_refused(api, pod, classes, name, spec, message) -> None:
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, of_class(pod("a"), name, **spec))
    assert (caught.value.code, caught.value.message) == (403, f'pods "a" is forbidden: {message}')


async def test_overhead_without_a_class_is_refused(api, pod) -> None:
    body = pod("a")
    body["spec"]["overhead"] = {"cpu": "1"}
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert "Pod Overhead set without corresponding RuntimeClass defined Overhead" in caught.value.message


async def test_a_deleted_class_takes_no_more_pods(api, pod, classes) -> None:
    await api.create(PODS, of_class(pod("a"), "plain"))
    await api.call("delete", RUNTIME_CLASSES, "plain")
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, of_class(pod("b"), "plain"))
    assert caught.value.code == 403
    await api.call("patch", PODS, "a", {"metadata": {"labels": {"still": "here"}}})
