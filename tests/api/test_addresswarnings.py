import pytest

from sampan.api.addresswarnings import of_address, of_network


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
        (
            "::ffff:192.12.2.2",
            [
                'f: non-standard IP address "::ffff:192.12.2.2" will be considered invalid in a future '
                'Kubernetes release: use "192.12.2.2"'
            ],
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
