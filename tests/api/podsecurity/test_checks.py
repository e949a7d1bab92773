"""Since when what is forbidden, and what covers what."""

from __future__ import annotations

import pytest

from harness.standards import BASE, SAFE, broken, pod, shared
from sampan.api.podsecurity.checks import BASELINE, RESTRICTED, reasons, violations
from sampan.api.podsecurity.policy import LevelVersion

KEEPALIVE = shared(sysctls=[{"name": "net.ipv4.tcp_keepalive_time"}])
RESERVED = shared(sysctls=[{"name": "net.ipv4.ip_local_reserved_ports"}])
BUFFERS = shared(sysctls=[{"name": "net.ipv4.tcp_rmem"}, {"name": "net.ipv4.tcp_wmem"}])
PROBE = {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}
UNMASKED = pod({"procMount": "Unmasked"}, hostUsers=False)
ROOT = pod({**SAFE, "runAsNonRoot": None, "runAsUser": 0}, hostUsers=False)
UNCONFINED = pod({"seccompProfile": {"type": "Unconfined"}})
LAX = pod({"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}, os={"name": "windows"})


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        ("baseline", pod(**RESERVED), 26, 27),
        ("baseline", pod(**KEEPALIVE), 28, 29),
        ("baseline", pod(**BUFFERS), 31, 32),
        ("baseline", pod({"seLinuxOptions": {"type": "container_engine_t"}}), 30, 31),
        ("baseline", UNMASKED, 34, 35),
        ("restricted", ROOT, 34, 35),
        ("restricted", LAX, 24, 25),
    ],
)
def test_what_a_later_version_allows(level, spec, before, since) -> None:
    assert broken(LevelVersion(level, before), spec)
    assert broken(LevelVersion(level, since), spec) == broken(LevelVersion(level), spec) == ""


@pytest.mark.parametrize(
    ("level", "spec", "before", "since"),
    [
        ("baseline", UNCONFINED, 18, 19),
        ("baseline", PROBE, 33, 34),
        ("restricted", pod({**SAFE, "allowPrivilegeEscalation": None}), 7, 8),
        ("restricted", pod({**SAFE, "capabilities": None}), 21, 22),
        ("restricted", pod({**SAFE, "runAsUser": 0}), 22, 23),
        ("restricted", pod({**SAFE, "seccompProfile": None}), 18, 19),
    ],
)
def test_what_a_later_version_forbids(level, spec, before, since) -> None:
    assert broken(LevelVersion(level, before), spec) == ""
    assert broken(LevelVersion(level, since), spec)


def test_seccomp_by_annotations_before_1_19() -> None:
    key = "container.seccomp.security.alpha.kubernetes.io/a"
    asked = LevelVersion("baseline", 18)
    expected = f'seccompProfile (forbidden annotation {key}="unconfined")'
    assert broken(asked, pod(), **{key: "unconfined"}) == expected
    assert broken(BASE, pod(), **{key: "unconfined"}) == ""
    assert broken(asked, pod(), **{key: "localhost/x"}) == ""


def test_a_restricted_check_covers_its_baseline_one() -> None:
    bad = {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}
    found = violations(LevelVersion("restricted"), {}, pod(bad, hostNetwork=True))
    assert reasons(found) == "host namespaces, unrestricted capabilities"
    # Before 1.22 there was no restricted check of them.
    found = violations(LevelVersion("restricted", 21), {}, pod(bad))
    assert reasons(found) == "non-default capabilities"


def test_the_table_covers_what_exists() -> None:
    names = {check.name for check in BASELINE}
    assert {check.instead_of for check in RESTRICTED} - {""} <= names
    for check in (*BASELINE, *RESTRICTED):
        minors = [minor for minor, _ in check.rules]
        assert minors == sorted(minors)
