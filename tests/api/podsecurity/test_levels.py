"""What holds for every Pod: a stricter level refuses all that a looser one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.api.podsecurity.checks import BASELINE, RESTRICTED, violations
from sampan.api.podsecurity.policy import LevelVersion

PROFILE = st.sampled_from(["RuntimeDefault", "Localhost", "Unconfined"]).map(lambda kind: {"type": kind})
CAPABILITIES = st.lists(
    st.sampled_from(["ALL", "CHOWN", "NET_RAW", "NET_BIND_SERVICE", "SYS_ADMIN"]), max_size=2
)
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "runAsNonRoot": st.booleans(),
        "runAsUser": st.integers(0, 2),
        "allowPrivilegeEscalation": st.booleans(),
        "capabilities": st.fixed_dictionaries({}, optional={"add": CAPABILITIES, "drop": CAPABILITIES}),
        "seccompProfile": PROFILE,
        "appArmorProfile": PROFILE,
        "procMount": st.sampled_from(["Default", "Unmasked"]),
        "seLinuxOptions": st.fixed_dictionaries({"type": st.sampled_from(["container_t", "spc_t"])}),
    },
)
VOLUME = st.sampled_from(["emptyDir", "hostPath", "nfs", "secret"]).map(lambda kind: {"name": "v", kind: {}})
SPEC = st.fixed_dictionaries(
    {
        "containers": st.lists(
            st.fixed_dictionaries({"name": st.just("c")}, optional={"securityContext": CONTEXT}), min_size=1
        )
    },
    optional={
        "hostNetwork": st.booleans(),
        "hostUsers": st.booleans(),
        "securityContext": CONTEXT,
        "volumes": st.lists(VOLUME, max_size=2),
    },
)
MINOR = st.one_of(st.none(), st.integers(0, 40))


@given(SPEC, MINOR)
def test_what_restricted_takes_baseline_takes(spec: Obj, minor: int | None) -> None:
    if not violations(LevelVersion("restricted", minor), {}, spec):
        assert not violations(LevelVersion("baseline", minor), {}, spec)


@given(SPEC, MINOR)
def test_every_violation_says_who_and_is_told_once(spec: Obj, minor: int | None) -> None:
    found = violations(LevelVersion("restricted", minor), {}, spec)
    assert len(found) <= len(BASELINE) + len(RESTRICTED)
    assert len({violation.reason for violation in found}) == len(found)
    assert all(violation.detail for violation in found)
