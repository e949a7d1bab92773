from __future__ import annotations

import pytest

from sampan.api.podwarnings import warnings

C = "spec.containers[0]"


def of(spec: dict, **annotations: str) -> list[str]:
    return list(warnings({"annotations": annotations}, spec))


def container(**more: object) -> dict:
    return {"containers": [{"name": "c", **more}]}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (container(env=[{"name": "A"}, {"name": "B"}], ports=[{"containerPort": 1}]), []),
        (
            {"nodeSelector": {"beta.kubernetes.io/os": "linux", "a": "b"}},
            [
                "spec.nodeSelector[beta.kubernetes.io/os]: "
                'deprecated since v1.14; use "kubernetes.io/os" instead'
            ],
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "failure-domain.beta.kubernetes.io/zone"}]},
            [
                "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is "
                'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
            ],
        ),
        (
            container(env=[{"name": "A"}, {"name": "A"}]),
            [f'{C}.env[1]: hides previous definition of "A", which may be dropped when using apply'],
        ),
        (
            container(ports=[{"containerPort": 1}, {"containerPort": 2}, {"containerPort": 1}]),
            [f"{C}.ports[2]: duplicate port definition with {C}.ports[0]"],
        ),
        (
            container(resources={"limits": {"memory": "100m", "cpu": "100m"}}),
            [f'{C}.resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer'],
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]},
            [
                'spec.imagePullSecrets[1].name: duplicate name "a"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            [
                "spec.terminationGracePeriodSeconds: must be >= 0; "
                "negative values are invalid and will be treated as 1"
            ],
        ),
    ],
)
def test_specs(spec, told) -> None:
    assert of(spec) == told


def test_node_affinity() -> None:
    term = {"matchExpressions": [{"key": "a"}, {"key": "beta.kubernetes.io/arch"}]}
    affinity = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"preference": term}],
    }
    paths = [line.partition(": ")[0] for line in of({"affinity": {"nodeAffinity": affinity}})]
    assert paths == [
        f"spec.affinity.nodeAffinity.{where}.matchExpressions[1].key"
        for where in (
            "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]",
            "preferredDuringSchedulingIgnoredDuringExecution[0].preference",
        )
    ]


def test_annotations_that_became_fields() -> None:
    gone = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    marks = {
        "seccomp.security.alpha.kubernetes.io/pod": gone,
        "container.seccomp.security.alpha.kubernetes.io/c": gone,
        "container.apparmor.security.beta.kubernetes.io/c": (
            'deprecated since v1.30; use the "appArmorProfile" field instead'
        ),
    }
    told = of({}, **dict.fromkeys(marks, "x"), other="y")
    assert sorted(told) == sorted(f"metadata.annotations[{key}]: {what}" for key, what in marks.items())


def test_of_a_template() -> None:
    (line,) = warnings({}, {"nodeSelector": {"beta.kubernetes.io/os": ""}}, "spec.template.")
    assert line.startswith("spec.template.spec.nodeSelector[beta.kubernetes.io/os]: ")
