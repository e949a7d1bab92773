import pytest

from sampan.api import defaults
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES


def service(**spec):
    obj = {"metadata": {}, "spec": spec}
    defaults.apply(SERVICES, obj)
    return obj


def test_the_service_of_the_story():
    found = service(selector={"app": "web"}, ports=[{"port": 80}])
    assert found["spec"] == {
        "selector": {"app": "web"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    }
    assert found["status"] == {"loadBalancer": {}}


@pytest.mark.parametrize(
    ("spec", "external", "internal", "allocates"),
    [
        ({"type": "ClusterIP"}, None, "Cluster", None),
        ({"type": "ClusterIP", "externalIPs": ["1.2.3.4"]}, "Cluster", "Cluster", None),
        ({"type": "NodePort"}, "Cluster", "Cluster", None),
        ({"type": "LoadBalancer"}, "Cluster", "Cluster", True),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, "Local", "Cluster", True),
        ({"type": "ExternalName"}, None, None, None),
    ],
)
def test_traffic_policies_by_type(spec, external, internal, allocates):
    found = service(**spec)["spec"]
    assert found.get("externalTrafficPolicy") == external
    assert found.get("internalTrafficPolicy") == internal
    assert found.get("allocateLoadBalancerNodePorts") == allocates


def test_session_affinity():
    assert service(sessionAffinity="ClientIP")["spec"]["sessionAffinityConfig"] == {
        "clientIP": {"timeoutSeconds": 10800}
    }
    kept = {"clientIP": {"timeoutSeconds": 3600}}
    assert (
        service(sessionAffinity="ClientIP", sessionAffinityConfig=kept)["spec"]["sessionAffinityConfig"]
        == kept
    )
    assert "sessionAffinityConfig" not in service(sessionAffinity="None", sessionAffinityConfig=kept)["spec"]


def test_endpoints_and_slices():
    endpoints = {"metadata": {}, "subsets": [{"ports": [{"port": 80}]}]}
    defaults.apply(ENDPOINTS, endpoints)
    assert endpoints["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    slice_ = {"metadata": {}, "ports": [{"port": 80}]}
    defaults.apply(ENDPOINT_SLICES, slice_)
    assert slice_["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]


def test_an_address_of_a_load_balancer_is_its_own_unless_said_otherwise():
    ingress = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"hostname": "lb.example.com"}]
    obj = {"metadata": {}, "spec": {}, "status": {"loadBalancer": {"ingress": ingress}}}
    defaults.apply(SERVICES, obj)
    assert [entry.get("ipMode") for entry in obj["status"]["loadBalancer"]["ingress"]] == [
        "VIP",
        "Proxy",
        None,
    ]
