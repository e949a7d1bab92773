import pytest

from sampan.api.addresswarnings import of_address, of_endpoints, of_network, of_network_policy, of_slice


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1", []),
        ("2001:db8::2", []),
        ("no address", []),
        (
            "2001:db8:0:0::2",
            ['f: IPv6 address "2001:db8:0:0::2" should be in RFC 5952 canonical format ("2001:db8::2")'],
        ),
    ],
)
def test_addresses(text: str, said: list[str]) -> None:
    assert list(of_address("f", text)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.12.2.0/24", []),
        ("no network", []),
        (
            "192.12.2.8/24",
            [
                'f: CIDR value "192.12.2.8/24" is ambiguous in this context '
                '(should be "192.12.2.0/24" or "192.12.2.8/32"?)'
            ],
        ),
        (
            "2001:db8:0:0::/64",
            [
                'f: IPv6 CIDR value "2001:db8:0:0::/64" should be in RFC 5952 canonical format '
                '("2001:db8::/64")'
            ],
        ),
    ],
)
def test_networks(text: str, said: list[str]) -> None:
    assert list(of_network("f", text)) == said


ODD = "fd00::0:1"
SAID = f'IPv6 address "{ODD}" should be in RFC 5952 canonical format ("fd00::1")'


def test_endpoints_written_by_hand() -> None:
    subset = {"addresses": [{"ip": "10.0.0.1"}, {"ip": ODD}], "notReadyAddresses": [{"ip": ODD}]}
    obj = {"metadata": {"name": "a"}, "subsets": [subset]}
    assert list(of_endpoints(obj)) == [
        f"subsets[0].addresses[1].ip: {SAID}",
        f"subsets[0].notReadyAddresses[0].ip: {SAID}",
    ]
    obj["metadata"]["labels"] = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert list(of_endpoints(obj)) == []


def test_slices_written_by_hand() -> None:
    obj = {"metadata": {"name": "a"}, "addressType": "IPv6", "endpoints": [{"addresses": [ODD]}]}
    assert list(of_slice(obj)) == [f"endpoints[0].addresses[0]: {SAID}"]
    assert list(of_slice({**obj, "addressType": "FQDN"})) == ["addressType: FQDN endpoints are deprecated"]
    label = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    assert list(of_slice({**obj, "metadata": {"labels": label}})) == []


def test_network_policies() -> None:
    block = {"cidr": "10.0.0.1/8", "except": ["10.1.0.1/16"]}
    spec = {"ingress": [{"from": [{"podSelector": {}}, {"ipBlock": block}]}]}
    first, second = of_network_policy({"metadata": {}, "spec": spec})
    assert first.startswith('spec.ingress[0].from[1].ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous')
    assert second.startswith("spec.ingress[0].from[1].ipBlock.except[0]: ")
