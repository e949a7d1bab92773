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
