import copy

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS

METADATA = {"name": "web", "namespace": "default"}


def texts(errors):
    return [error.text for error in errors]


def endpoints(*subsets):
    obj = {"metadata": METADATA, "subsets": copy.deepcopy(list(subsets))}
    defaults.apply(ENDPOINTS, obj)
    return texts(validation.create(ENDPOINTS, obj))


def sliced(**fields):
    obj = {"metadata": METADATA, "addressType": "IPv4", **copy.deepcopy(fields)}
    defaults.apply(ENDPOINT_SLICES, obj)
    return obj


@pytest.mark.parametrize(
    ("subset", "found"),
    [
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}, []),
        ({}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (
            {"addresses": [{"ip": "169.254.0.1"}]},
            [
                'subsets[0].addresses[0].ip: Invalid value: "169.254.0.1": '
                "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
            ],
        ),
        (
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 81}]},
            ["subsets[0].ports[0].name: Required value", "subsets[0].ports[1].name: Required value"],
        ),
    ],
)
def test_endpoints(subset, found):
    assert endpoints(subset) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}, []),
        (
            {"addressType": "IPX"},
            ['addressType: Unsupported value: "IPX": supported values: "FQDN", "IPv4", "IPv6"'],
        ),
        ({"endpoints": [{}]}, ["endpoints[0].addresses: Required value: must contain at least 1 address"]),
        (
            {"endpoints": [{"addresses": ["fd00::1"]}]},
            ['endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address'],
        ),
        (
            {"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            ["endpoints: Too many: 1001: must have at most 1000 items"],
        ),
        ({"ports": [{"port": 80}, {"port": 81}]}, ['ports[1].name: Duplicate value: ""']),
        (
            {"ports": [{"port": 0}]},
            ["ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
    ],
)
def test_slices(fields, found):
    assert texts(validation.create(ENDPOINT_SLICES, sliced(**fields))) == found


def test_the_address_type_of_a_slice_does_not_change():
    assert texts(validation.update(ENDPOINT_SLICES, sliced(addressType="IPv6"), sliced())) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


# Addresses that mean somebody else on every machine (CVE-2021-25737).
FORBIDDEN = [
    ("127.0.0.1", "IPv4", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("127.9.9.9", "IPv4", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("169.254.169.254", "IPv4", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ("0.0.0.0", "IPv4", "may not be unspecified (0.0.0.0)"),
    ("224.0.0.9", "IPv4", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("::1", "IPv6", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("fe80::1", "IPv6", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ("::", "IPv6", "may not be unspecified (::)"),
    ("ff02::1", "IPv6", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("ff12::1", "IPv6", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("::ffff:127.0.0.1", "IPv6", "must not be an IPv4-mapped IPv6 address"),
    ("::ffff:127.0.0.1", "IPv4", "must not be an IPv4-mapped IPv6 address"),
    ("127.0.0.01", "IPv4", "must not have leading 0s"),
]


@pytest.mark.parametrize(("address", "kind", "said"), FORBIDDEN)
def test_addresses_that_nobody_may_send_traffic_to(address, kind, said):
    obj = sliced(addressType=kind, endpoints=[{"addresses": [address]}])
    assert texts(validation.create(ENDPOINT_SLICES, obj)) == [
        f'endpoints[0].addresses[0]: Invalid value: "{address}": {said}'
    ]
    told = endpoints({"addresses": [{"ip": address}], "ports": [{"port": 80}]})
    assert f'subsets[0].addresses[0].ip: Invalid value: "{address}": {said}' in told


@pytest.mark.parametrize("address", ["224.0.1.1", "239.0.0.1", "ff05::1", "ff0e::2"])
def test_other_multicast_is_no_special_address(address):
    kind = "IPv6" if ":" in address else "IPv4"
    obj = sliced(addressType=kind, endpoints=[{"addresses": [address]}])
    assert texts(validation.create(ENDPOINT_SLICES, obj)) == []


def test_slices_have_limits():
    def told(**fields):
        return texts(validation.create(ENDPOINT_SLICES, sliced(**fields)))

    def one(**fields):
        return told(endpoints=[{"addresses": ["10.0.0.1"], **fields}])

    ports = [{"name": f"p{number}", "port": number + 1} for number in range(20001)]
    assert told(ports=ports) == ["ports: Too many: 20001: must have at most 20000 items"]
    assert told(endpoints=[{"addresses": [f"10.0.0.{n}" for n in range(1, 102)]}]) == [
        "endpoints[0].addresses: Too many: 101: must have at most 100 items"
    ]
    zones = [{"name": f"z{number}"} for number in range(9)]
    assert one(hints={"forZones": zones}) == [
        "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items"
    ]
    assert one(hints={"forNodes": zones}) == [
        "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"
    ]
    assert one(hints={"forZones": [{"name": "a"}, {"name": "a"}]}) == [
        'endpoints[0].hints.forZones[1].name: Duplicate value: "a"'
    ]
    topology = {f"k{number}": "v" for number in range(17)}
    assert one(deprecatedTopology=topology) == [
        "endpoints[0].deprecatedTopology: Too many: 17: must have at most 16 items"
    ]


def test_names_in_slices_have_their_forms():
    def told(**fields):
        obj = sliced(endpoints=[{"addresses": ["10.0.0.1"], **fields}])
        return [error.field for error in validation.create(ENDPOINT_SLICES, obj)]

    assert told(nodeName="n1", hostname="web-0", zone="a") == []
    assert told(nodeName="Not a node") == ["endpoints[0].nodeName"]
    assert told(hostname="a.b") == ["endpoints[0].hostname"]
    assert told(hints={"forZones": [{"name": "a b"}]}) == ["endpoints[0].hints.forZones[0].name"]
    assert told(hints={"forNodes": [{"name": "A"}]}) == ["endpoints[0].hints.forNodes[0].name"]


def test_names_stand_where_addresses_are_names():
    obj = sliced(addressType="FQDN", endpoints=[{"addresses": ["db.example.com", "db"]}])
    assert texts(validation.create(ENDPOINT_SLICES, obj)) == [
        'endpoints[0].addresses[1]: Invalid value: "db": should be a domain with at least two segments '
        "separated by dots"
    ]
