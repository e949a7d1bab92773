"""The forms names, labels and keys must have, and how the server makes up a name.

Each check returns the list of upstream's complaints, empty when the text is good
(apimachinery's `util/validation`; RFC 1123, RFC 1035, RFC 6335 for port names).
"""

from __future__ import annotations

import re
import secrets
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

# No vowels and no digits that look like them: a random suffix spells no word.
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
GENERATED_PREFIX_LENGTH = 58

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253


def random_suffix(length: int = SUFFIX_LENGTH) -> str:
    return "".join(secrets.choice(SAFE_ALPHABET) for _ in range(length))


def generate_name(prefix: str) -> str:
    """`prefix`, cut so that the whole stays a DNS label, and five random characters."""
    return prefix[:GENERATED_PREFIX_LENGTH] + random_suffix()


def safe_encode(number: int, length: int) -> str:
    """The lowest `length` digits of `number` in the safe alphabet."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(SAFE_ALPHABET))
        digits.append(SAFE_ALPHABET[digit])
    return "".join(digits)


class Form:
    """A shape of text: a regular expression, a length, and the sentence said of whatever does not fit."""

    def __init__(self, pattern: str, sentence: str, *examples: str, limit: int | None = None) -> None:
        self.limit = limit
        shown = " or ".join(f"'{example}', " for example in examples)
        self.sentence = (
            f"{sentence} ({'e.g. ' if examples else ''}{shown}regex used for validation is '{pattern}')"
        )
        self._match = re.compile(pattern).fullmatch

    def check(self, text: str) -> list[str]:
        complaints = []
        if self.limit is not None and len(text) > self.limit:
            complaints.append(too_long(self.limit))
        if self._match(text) is None:
            complaints.append(self.sentence)
        return complaints


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


_ALNUM_ENDS = "and must start and end with an alphanumeric character"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_RULE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ALNUM_ENDS}"

DNS_LABEL = Form(
    _LABEL,
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALNUM_ENDS}",
    "my-name",
    "123-abc",
    limit=LABEL_LENGTH,
)
DNS_SUBDOMAIN = Form(
    _SUBDOMAIN,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    f"{_ALNUM_ENDS}",
    "example.com",
    limit=SUBDOMAIN_LENGTH,
)
DNS_1035_LABEL = Form(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character",
    "my-name",
    "abc-123",
    limit=LABEL_LENGTH,
)
LABEL_VALUE = Form(
    f"({_QUALIFIED})?",
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    f"{_ALNUM_ENDS}",
    "MyValue",
    "my_value",
    "12345",
    limit=LABEL_LENGTH,
)
CONFIG_KEY = Form(
    "[-._a-zA-Z0-9]+",
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "key.name",
    "KEY_NAME",
    "key-name",
    limit=SUBDOMAIN_LENGTH,
)
HTTP_PATH = Form(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", "Invalid path")
HTTP_HEADER = Form(
    "[-A-Za-z0-9]+",
    "a valid HTTP header must consist of alphanumeric characters or '-'",
    "X-Header-Name",
)
PERCENT = Form(
    "[0-9]+%",
    "a valid percent string must be a numeric string followed by an ending '%'",
    "1%",
    "93%",
)
_NAME_PART = Form(_QUALIFIED, _QUALIFIED_RULE, "MyName", "my.name", "123-abc", limit=LABEL_LENGTH)
_ENV_NAME = re.compile(r"[ -<>-~]+")
_WILDCARD_REST = re.compile(rf"\*\.{_SUBDOMAIN}")

dns_subdomain = DNS_SUBDOMAIN.check
dns_1035_label = DNS_1035_LABEL.check
label_value = LABEL_VALUE.check
http_header = HTTP_HEADER.check
http_path = HTTP_PATH.check
percent = PERCENT.check


def dns_label(text: str) -> list[str]:
    """One part of a DNS name; whatever is a good name but for its dots is told just that."""
    if "." in text and not DNS_SUBDOMAIN.check(text):
        too_long_too = [too_long(LABEL_LENGTH)] if len(text) > LABEL_LENGTH else []
        return [*too_long_too, "must not contain dots"]
    return DNS_LABEL.check(text)


def qualified_name(text: str) -> list[str]:
    """A label or annotation key, a finalizer, a resource name: `[dns.subdomain/]name`."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [
            f"a qualified name {_NAME_PART.sentence} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    complaints = []
    if slash:
        if prefix:
            complaints += [f"prefix part {text}" for text in dns_subdomain(prefix)]
        else:
            complaints.append("prefix part must be non-empty")
    if name:
        complaints += [f"name part {text}" for text in _NAME_PART.check(name)]
    else:
        complaints += ["name part must be non-empty", f"name part {_NAME_PART.sentence}"]
    return complaints


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret, which becomes a file name."""
    complaints = CONFIG_KEY.check(text)
    if text in (".", ".."):
        complaints.append(f"must not be '{text}'")
    elif text.startswith(".."):
        complaints.append("must not start with '..'")
    return complaints


def env_name(text: str) -> list[str]:
    """Since 1.34 whatever a process can be given: printable ASCII but `=`."""
    if not text:
        return ["environment variable name must be non-empty"]
    if _ENV_NAME.fullmatch(text) is None:
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        ]
    return []


def port_name(text: str) -> list[str]:
    """An IANA service name, as `containerPort.name` and named `targetPort` must be."""
    complaints = []
    if len(text) > 15:
        complaints.append(too_long(15))
    if re.fullmatch(r"[-a-z0-9]+", text) is None:
        complaints.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if re.search(r"[a-z]", text) is None:
        complaints.append("must contain at least one letter (a-z)")
    if "--" in text:
        complaints.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        complaints.append("must not begin or end with a hyphen")
    return complaints


def port_number(number: int) -> list[str]:
    return [] if 1 <= number <= 65535 else ["must be between 1 and 65535, inclusive"]


_LEADING_ZEROS = re.compile(r"\b0+(?=\d)")


def ip(text: str) -> list[str]:
    if parse_ip(text) is not None:
        return []
    if _is_mapped(text):
        return ["must not be an IPv4-mapped IPv6 address"]
    if parse_ip(_LEADING_ZEROS.sub("", text)) is not None:
        return ["must not have leading 0s"]
    return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def canonical_ip(text: str) -> list[str]:
    """An address that has one spelling only (RFC 5952), so that it can be a name."""
    address = parse_ip(text)
    if address is None:
        return ip(text)
    return [] if str(address) == text else [f'must be in canonical form ("{address}")']


def network(text: str) -> list[str]:
    if parse_network(text) is None:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return []


def canonical_network(text: str) -> list[str]:
    found = parse_network(text)
    if found is None:
        return network(text)
    return [] if str(found) == text else [f'must be in canonical form ("{found}")']


def parse_network(text: str) -> IPv4Network | IPv6Network | None:
    """The network, or None if it is none; host bits may be set."""
    address, slash, length = text.partition("/")
    if not slash or parse_ip(address) is None or not (length.isascii() and length.isdigit()):
        return None
    try:
        return (IPv6Network if ":" in address else IPv4Network)(text, strict=False)
    except ValueError:
        return None


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The address, or None. No zones, no leading zeros, no IPv4 in IPv6's clothes: programs read these
    differently, and what one of them forbids another lets pass (CVE-2021-29923).
    """
    try:
        if ":" not in text:
            return IPv4Address(text)
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return None if "%" in text or address.ipv4_mapped is not None else address


def _is_mapped(text: str) -> bool:
    try:
        return IPv6Address(text).ipv4_mapped is not None
    except AddressValueError:
        return False


def wildcard_subdomain(text: str) -> list[str]:
    if text.startswith("*.") and len(text) <= SUBDOMAIN_LENGTH and _WILDCARD_REST.fullmatch(text):
        return []
    return [
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
        "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character "
        rf"(e.g. '*.example.com', regex used for validation is '\*\.{_SUBDOMAIN}')"
    ]
