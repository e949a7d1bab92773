import pytest

from sampan.api import names

LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@pytest.mark.parametrize(
    ("check", "text", "complaints"),
    [
        (names.dns_label, "web-1", []),
        (names.dns_label, "Web", [LABEL_RULE]),
        (names.dns_label, "web\n", [LABEL_RULE]),
        (names.dns_label, "", [LABEL_RULE]),
        (names.dns_label, "a.b", ["must not contain dots"]),
        (names.dns_label, "a" * 64, ["must be no more than 63 characters"]),
        (names.dns_subdomain, "a.b-c.1", []),
        (names.dns_subdomain, "a..b", [SUBDOMAIN_RULE]),
        (names.dns_1035_label, "web", []),
        (names.label_value, "", []),
        (names.label_value, "v1_2.3", []),
        (names.qualified_name, "app.kubernetes.io/name", []),
        (names.qualified_name, "/x", ["prefix part must be non-empty"]),
        (names.env_name, "a b.c-1", []),
        (
            names.env_name,
            "a=b",
            [
                "a valid environment variable name must consist only of printable ASCII characters "
                "other than '='"
            ],
        ),
        (names.env_name, "", ["environment variable name must be non-empty"]),
        (names.port_name, "http", []),
        (names.port_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.port_name, "80", ["must contain at least one letter (a-z)"]),
        (names.port_name, "a" * 16, ["must be no more than 15 characters"]),
        (names.port_number, 0, ["must be between 1 and 65535, inclusive"]),
        (names.port_number, 65535, []),
        (names.config_key, "a.b_c-D", []),
        (names.config_key, "..", ["must not be '..'"]),
        (names.config_key, "..a", ["must not start with '..'"]),
        (names.ip, "10.9.8.7", []),
        (names.ip, "2001:db8::ffff", []),
        (names.ip, "10.9.8.07", ["must not have leading 0s"]),
        (names.ip, "::ffff:127.0.0.1", ["must not be an IPv4-mapped IPv6 address"]),
        (names.ip, "10.9.8.256", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (names.canonical_ip, "10.9.8.7", []),
        (names.canonical_ip, "fd00::a", []),
        (names.canonical_ip, "fd00::0A", ['must be in canonical form ("fd00::a")']),
        (names.canonical_ip, "::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]),
        (names.canonical_ip, "10.9.8.07", ["must not have leading 0s"]),
        (names.network, "10.9.8.7/24", []),
        (names.network, "10.9.8.7", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
        (names.network, "fd00::/129", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
        (names.canonical_network, "10.9.8.7/24", ['must be in canonical form ("10.9.8.0/24")']),
        (names.canonical_network, "FD00::/64", ['must be in canonical form ("fd00::/64")']),
        (names.canonical_network, "fd00::/64", []),
        (names.ip, "fe80::1%eth0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (names.wildcard_subdomain, "*.example.com", []),
    ],
)
def test_forms(check, text, complaints):
    assert check(text) == complaints


def test_qualified_name_says_which_part_is_wrong():
    assert names.qualified_name("UPPER/x") == [f"prefix part {SUBDOMAIN_RULE}"]
    assert names.qualified_name("a/")[0] == "name part must be non-empty"
    assert names.qualified_name("a/b/c")[0].startswith("a qualified name must consist of alphanumeric")


def test_generated_names_stay_labels():
    generated = names.generate_name("x" * 80)
    assert len(generated) == 63
    assert names.dns_label(generated) == []
    assert set(generated[58:]) <= set(names.SAFE_ALPHABET)
    assert len({names.generate_name("web-") for _ in range(50)}) == 50
