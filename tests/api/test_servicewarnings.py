import pytest

from sampan.api.servicewarnings import warnings_of


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP"}, []),
        (
            {
                "type": "ClusterIP",
                "clusterIP": "None",
                "externalIPs": ["192.0.2.1"],
                "loadBalancerIP": "192.0.2.2",
                "sessionAffinity": "ClientIP",
            },
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        (
            {"type": "ExternalName", "externalName": "a.b", "externalIPs": ["192.0.2.1"]},
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
        (
            {"type": "ClusterIP", "externalName": "a.b"},
            ['spec.externalName is ignored when spec.type is not "ExternalName"'],
        ),
        (
            {"type": "ClusterIP", "trafficDistribution": "PreferClose"},
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]},
            [
                'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context '
                '(should be "10.0.0.0/8" or "10.0.0.1/32"?)'
            ],
        ),
        (
            {"type": "ClusterIP", "clusterIPs": ["fd::0:1"]},
            ['spec.clusterIPs[0]: IPv6 address "fd::0:1" should be in RFC 5952 canonical format ("fd::1")'],
        ),
    ],
)
def test_what_is_said_of_a_service(spec, said) -> None:
    assert list(warnings_of({"metadata": {"name": "a"}, "spec": spec})) == said


def test_an_annotation_of_old() -> None:
    annotations = {"service.kubernetes.io/topology-aware-hints": "auto"}
    assert list(warnings_of({"metadata": {"annotations": annotations}})) == [
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
        "service.kubernetes.io/topology-mode instead"
    ]
