"""Requests and limits, of containers and of Pods as a whole."""

import pytest

from sampan.api.validation import resources


def said(errors):
    return [error.text for error in errors]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "4Mi"}}, []),
        (
            {"limits": {"hugepages-2Mi": "4Mi"}, "requests": {"hugepages-2Mi": "4Mi"}},
            ["r: Forbidden: HugePages require cpu or memory"],
        ),
        (
            {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}},
            [
                'r.limits[hugepages-2Mi]: Invalid value: "3Mi": '
                "3Mi is not positive integer multiple of hugepages-2Mi"
            ],
        ),
        (
            {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "2Mi"}},
            ['r.requests: Invalid value: "2Mi": must be equal to hugepages-2Mi limit of 4Mi'],
        ),
        (
            {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}},
            ['r.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1'],
        ),
    ],
)
def test_containers(given, found):
    assert said(resources.container("r", given, set())) == found


def pod(given, *containers):
    return {"resources": given, "containers": [{"name": "c", "resources": each} for each in containers]}


def test_a_pod_encloses_its_containers():
    ask, cap = {"requests": {"cpu": "1"}}, {"limits": {"cpu": "2"}}
    assert said(resources.pod("s", pod({"requests": {"cpu": "2"}, **cap}, ask, ask))) == []
    assert said(resources.pod("s", pod({"requests": {"cpu": "1500m"}}, ask, ask))) == [
        's.resources.requests[cpu]: Invalid value: "1500m": '
        "must be greater than or equal to aggregate container requests of 2"
    ]
    assert said(resources.pod("s", pod({"limits": {"cpu": "1"}}, cap))) == [
        's.containers[0].resources.limits[cpu]: Invalid value: "2": '
        "must be less than or equal to pod limits of 1"
    ]


def test_what_pods_cannot_have():
    (claims,) = said(resources.pod("s", pod({"claims": []})))
    assert claims == "s.resources.claims: Forbidden: claims cannot be set for Resources at pod-level"
    (disk,) = said(resources.pod("s", pod({"limits": {"ephemeral-storage": "1Gi"}})))
    assert disk.startswith('s.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage"')


def test_amounts_that_are_none_are_named_once():
    assert len(said(resources.pod("s", pod({"limits": {"cpu": "x"}}, {"limits": {"cpu": "y"}})))) == 1
