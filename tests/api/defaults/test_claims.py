import pytest

from sampan.api import defaults
from sampan.api.defaults import claims
from sampan.api.objects import Obj


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        ({}, {"allocationMode": "ExactCount", "count": 1}),
        ({"count": 0}, {"allocationMode": "ExactCount", "count": 1}),
        ({"count": 3}, {"allocationMode": "ExactCount", "count": 3}),
        ({"allocationMode": "All"}, {"allocationMode": "All"}),
        (
            {"allocationMode": "All", "tolerations": [{"key": "k"}, {"operator": "Exists"}]},
            {
                "allocationMode": "All",
                "tolerations": [{"key": "k", "operator": "Equal"}, {"operator": "Exists"}],
            },
        ),
    ],
)
def test_a_request_for_devices_is_for_one_unless_it_says_otherwise(wanted: Obj, after: Obj) -> None:
    def devices(of: Obj) -> Obj:
        return {"devices": {"requests": [{"exactly": dict(of)}, {"firstAvailable": [dict(of)]}, {}]}}

    claim: Obj = {"spec": devices(wanted)}
    defaults.apply_kind("resource.k8s.io", "ResourceClaim", claim)
    assert claim["spec"] == devices(after)
    template: Obj = {"spec": {"spec": devices(wanted)}}
    defaults.apply_kind("resource.k8s.io", "ResourceClaimTemplate", template)
    assert template["spec"]["spec"] == devices(after)


def test_a_token_lasts_an_hour_and_a_certificate_a_day() -> None:
    token: Obj = {}
    claims.token_request(token)
    assert token == {"spec": {"expirationSeconds": 3600}}
    certificate: Obj = {"spec": {}}
    claims.pod_certificate_request(certificate)
    assert certificate == {"spec": {"maxExpirationSeconds": 86400}}
