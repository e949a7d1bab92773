from __future__ import annotations

import pytest

from sampan.apiserver.registry import families

V4, V6 = ("IPv4",), ("IPv6",)
BOTH, REVERSED = ("IPv4", "IPv6"), ("IPv6", "IPv4")
A4, B4, A6 = "10.96.0.7", "10.96.0.8", "fd00:96::7"
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"


def spec(policy="", chosen=(), addresses=(), *, selector=True, kind="ClusterIP"):
    made = {"type": kind, "selector": {"a": "b"} if selector else None}
    made |= {"ipFamilyPolicy": policy} if policy else {}
    made |= {"ipFamilies": list(chosen)} if chosen else {}
    return made | ({"clusterIP": addresses[0], "clusterIPs": list(addresses)} if addresses else {})


def outcome(given):
    return given["ipFamilyPolicy"], tuple(given["ipFamilies"])


@pytest.mark.parametrize(
    ("cluster", "given", "expected"),
    [
        (V4, spec(), (SINGLE, V4)),
        (V6, spec(), (SINGLE, V6)),
        (BOTH, spec(), (SINGLE, V4)),
        (REVERSED, spec(), (SINGLE, V6)),
        (V4, spec(PREFER), (PREFER, V4)),
        (BOTH, spec(PREFER), (PREFER, BOTH)),
        (REVERSED, spec(PREFER), (PREFER, REVERSED)),
        (BOTH, spec(PREFER, V6), (PREFER, REVERSED)),
        (BOTH, spec(REQUIRE), (REQUIRE, BOTH)),
        (BOTH, spec(REQUIRE, REVERSED), (REQUIRE, REVERSED)),
        (BOTH, spec("", V6), (SINGLE, V6)),
        (BOTH, spec("", (), [A6]), (SINGLE, V6)),
        (BOTH, spec(REQUIRE, (), [A6]), (REQUIRE, REVERSED)),
        (BOTH, spec(PREFER, (), [A4, A6]), (PREFER, BOTH)),
        # headless, with a selector: like any other
        (V4, spec("", (), ["None"]), (SINGLE, V4)),
        (BOTH, spec(PREFER, (), ["None"]), (PREFER, BOTH)),
        # headless and without a selector: nobody routes to it, so both families are the rule
        (V4, spec("", (), ["None"], selector=False), (REQUIRE, BOTH)),
        (V6, spec("", (), ["None"], selector=False), (REQUIRE, REVERSED)),
        (BOTH, spec("", V6, ["None"], selector=False), (REQUIRE, REVERSED)),
        (V4, spec(SINGLE, V6, ["None"], selector=False), (SINGLE, V6)),
        (V4, spec(SINGLE, (), ["None"], selector=False), (SINGLE, V4)),
    ],
)
def test_a_new_service(cluster, given, expected) -> None:
    assert families.settle(given, None, cluster) == []
    assert outcome(given) == expected


@pytest.mark.parametrize(
    ("cluster", "given", "said"),
    [
        (
            V4,
            spec(REQUIRE),
            [
                'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for '
                "dual-stack services"
            ],
        ),
        (V4, spec("", V6), ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster']),
        (
            V4,
            spec("", (), [A6]),
            ['spec.clusterIPs[0]: Invalid value: ["fd00:96::7"]: IPv6 is not configured on this cluster'],
        ),
        (
            V4,
            spec(REQUIRE, BOTH),
            [
                'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for '
                "dual-stack services",
                'spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
            ],
        ),
        (
            BOTH,
            spec(SINGLE, BOTH),
            [
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
                "'PreferDualStack' when multiple IP families are specified"
            ],
        ),
        (
            BOTH,
            spec("", (), [A4, A6]),
            [
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
                "'PreferDualStack' when multiple cluster IPs are specified"
            ],
        ),
        (
            BOTH,
            spec(PREFER, V6, [A4]),
            [
                'spec.clusterIPs[0]: Invalid value: "10.96.0.7": expected an IPv6 value as indicated by '
                "`ipFamilies[0]`"
            ],
        ),
        (
            BOTH,
            spec(PREFER, (), [A4, B4]),
            [
                'spec.clusterIPs: Invalid value: ["10.96.0.7","10.96.0.8"]: may specify no more than one IP '
                "for each IP family"
            ],
        ),
        (BOTH, spec("Dual"), None),
        (BOTH, spec(PREFER, ("IPv5",)), None),
        (BOTH, spec(PREFER, ("IPv4", "IPv4")), None),
    ],
)
def test_a_new_service_that_cannot_be(cluster, given, said) -> None:
    broken = families.settle(given, None, cluster)
    assert broken
    if said is not None:
        assert [error.text for error in broken] == said


ONE = spec(SINGLE, V4, [A4])
TWO = spec(PREFER, BOTH, [A4, A6])


@pytest.mark.parametrize(
    ("old", "given", "expected", "addresses"),
    [
        # upgrades
        (ONE, spec(PREFER, V4, [A4]), (PREFER, BOTH), [A4]),
        (ONE, spec(REQUIRE, V4, [A4]), (REQUIRE, BOTH), [A4]),
        (ONE, spec(PREFER, BOTH, [A4, A6]), (PREFER, BOTH), [A4, A6]),
        # downgrades: the policy alone is enough
        (TWO, spec(SINGLE, BOTH, [A4, A6]), (SINGLE, V4), [A4]),
        (TWO, spec(SINGLE, V4, [A4]), (SINGLE, V4), [A4]),
        # no word about it
        (TWO, spec(PREFER, BOTH, [A4, A6]), (PREFER, BOTH), [A4, A6]),
        (TWO, spec("", BOTH, [A4, A6]), (PREFER, BOTH), [A4, A6]),
        (ONE, spec("", V4, [A4]), (SINGLE, V4), [A4]),
    ],
)
def test_an_old_service(old, given, expected, addresses) -> None:
    assert families.settle(given, old, BOTH) == []
    assert outcome(given) == expected and given["clusterIPs"] == addresses


def test_a_preference_is_not_acted_on_only_because_the_cluster_has_changed() -> None:
    one = spec(PREFER, V4, [A4])
    again = spec(PREFER, V4, [A4])
    assert families.settle(again, one, BOTH) == []
    assert outcome(again) == (PREFER, V4)
    two = spec(PREFER, BOTH, [A4, A6])
    again = spec(PREFER, BOTH, [A4, A6])
    assert families.settle(again, two, V4) == []
    assert outcome(again) == (PREFER, BOTH)


@pytest.mark.parametrize(("policy", "chosen", "addresses"), [(SINGLE, V6, [A6]), (REQUIRE, BOTH, [A4, A6])])
def test_what_the_cluster_no_longer_has_is_left_to_those_who_have_it(policy, chosen, addresses) -> None:
    """Or else they could not even lose their finalizers."""
    old, again = (spec(policy, chosen, addresses) for _ in range(2))
    assert families.settle(again, old, V4) == []
    assert outcome(again) == (policy, chosen)
    assert families.settle(spec(policy, chosen, addresses, kind="NodePort"), old, V4)


def test_what_is_second_is_given_back_by_single_stack_only() -> None:
    broken = families.settle(spec(PREFER, BOTH, [A4]), TWO, BOTH)
    assert [error.text for error in broken] == [
        "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the "
        "secondary cluster IP"
    ]
    broken = families.settle(spec(PREFER, V4, [A4, A6]), TWO, BOTH)
    assert [error.text for error in broken] == [
        "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the "
        "secondary IP family"
    ]
