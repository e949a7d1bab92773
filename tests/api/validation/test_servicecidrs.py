import pytest

from sampan.api import validation
from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS


def texts(errors):
    return [error.text for error in errors]


def cidr(*cidrs):
    return {"metadata": {"name": "a"}, "spec": {"cidrs": list(cidrs)}}


@pytest.mark.parametrize(
    ("cidrs", "found"),
    [
        (["10.0.0.0/8"], []),
        (["fd00::/64", "10.0.0.0/8"], []),
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            ["10.0.0.0/8", "fd00::/64", "10.1.0.0/16"],
            [
                'spec.cidrs: Invalid value: ["10.0.0.0/8","fd00::/64","10.1.0.0/16"]: '
                "may only hold up to 2 values"
            ],
        ),
        (
            ["10.0.0.1/8"],
            ['spec.cidrs[0]: Invalid value: "10.0.0.1/8": must be in canonical form ("10.0.0.0/8")'],
        ),
        (
            ["FD00::/64"],
            ['spec.cidrs[0]: Invalid value: "FD00::/64": must be in canonical form ("fd00::/64")'],
        ),
        (
            ["10.0.0.0"],
            [
                'spec.cidrs[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, '
                "(e.g. 10.9.8.0/24 or 2001:db8::/64)"
            ],
        ),
        (
            ["10.0.0.0/8", "10.1.0.0/16"],
            [
                'spec.cidrs: Invalid value: ["10.0.0.0/8","10.1.0.0/16"]: may specify no more than one IP '
                "for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
        ),
    ],
)
def test_service_cidrs(cidrs, found) -> None:
    assert texts(validation.create(SERVICE_CIDRS, cidr(*cidrs))) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (["10.0.0.0/8"], ["10.0.0.0/8"], []),
        (["10.0.0.0/8"], ["10.0.0.0/8", "fd00::/64"], []),
        (
            ["10.0.0.0/8"],
            ["11.0.0.0/8"],
            ['spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable'],
        ),
        (
            ["10.0.0.0/8"],
            ["fd00::/64", "10.0.0.0/8"],
            ['spec.cidrs[0]: Invalid value: "fd00::/64": field is immutable'],
        ),
        (
            ["10.0.0.0/8", "fd00::/64"],
            ["10.0.0.0/8"],
            ['spec.cidrs: Invalid value: ["10.0.0.0/8"]: field is immutable'],
        ),
    ],
)
def test_changes_of_service_cidrs(old, new, found) -> None:
    assert texts(validation.update(SERVICE_CIDRS, cidr(*new), cidr(*old))) == found


def address(name="10.96.0.1", **parent):
    spec = {"parentRef": {"resource": "services", "namespace": "n", "name": "s", **parent}}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        (address(), []),
        (address("fd00::1"), []),
        (address(group="gateway.networking.k8s.io", resource="gateways"), []),
        (
            address("fd00::0:1"),
            ['metadata.name: Invalid value: "fd00::0:1": must be in canonical form ("fd00::1")'],
        ),
        (address("010.0.0.1"), ['metadata.name: Invalid value: "010.0.0.1": must not have leading 0s']),
        (
            address("web"),
            [
                'metadata.name: Invalid value: "web": must be a valid IP address, '
                "(e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        ({"metadata": {"name": "10.96.0.1"}, "spec": {}}, ["spec.parentRef: Required value"]),
        (address(resource=""), ["spec.parentRef.resource: Required value"]),
        (address() | {"spec": {"parentRef": {"resource": "x"}}}, ["spec.parentRef.name: Required value"]),
        (address(namespace="a/b"), ["spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'"]),
    ],
)
def test_ip_addresses(obj, found) -> None:
    assert texts(validation.create(IP_ADDRESSES, obj)) == found


def test_whose_an_address_is_may_not_change() -> None:
    (error,) = validation.update(IP_ADDRESSES, address(), address(namespace="m"))
    assert error.field == "spec.parentRef" and error.text.endswith("field is immutable")
