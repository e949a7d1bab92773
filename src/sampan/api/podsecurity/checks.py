"""The table of all checks: since which version each holds, and which it replaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.api.objects import Obj
from sampan.api.podsecurity import baseline, restricted
from sampan.api.podsecurity.policy import LevelVersion
from sampan.api.podsecurity.wording import Violation

Rule = Callable[[Obj, Obj], "Violation | None"]


@dataclass(frozen=True, slots=True)
class Check:
    """`rules`: (minor version it came with, rule), the newest last. `instead_of`: the baseline check that a
    restricted one covers."""

    name: str
    rules: tuple[tuple[int, Rule], ...]
    instead_of: str = ""

    def rule(self, asked: LevelVersion) -> Rule | None:
        reached = [rule for minor, rule in self.rules if asked.reaches(minor)]
        return reached[-1] if reached else None


# In upstream's order, in which violations are told.
BASELINE = (
    Check("appArmorProfile", ((0, baseline.app_armor),)),
    Check("capabilities_baseline", ((0, baseline.capabilities),)),
    Check("hostNamespaces", ((0, baseline.host_namespaces),)),
    Check("hostPathVolumes", ((0, baseline.host_path_volumes),)),
    Check("hostPorts", ((0, baseline.host_ports),)),
    Check("hostProbesAndHostLifecycle", ((34, baseline.probe_hosts),)),
    Check("privileged", ((0, baseline.privileged),)),
    Check("procMount", ((0, baseline.proc_mount), (35, baseline.proc_mount_1_35))),
    Check("seLinuxOptions", ((0, baseline.selinux), (31, baseline.selinux_1_31))),
    Check("seccompProfile_baseline", ((0, baseline.seccomp_1_0), (19, baseline.seccomp))),
    Check(
        "sysctls",
        (
            (0, baseline.sysctls),
            (27, baseline.sysctls_1_27),
            (29, baseline.sysctls_1_29),
            (32, baseline.sysctls_1_32),
        ),
    ),
    Check("windowsHostProcess", ((0, baseline.host_process),)),
)
RESTRICTED = (
    Check(
        "allowPrivilegeEscalation",
        ((8, restricted.privilege_escalation), (25, restricted.privilege_escalation_1_25)),
    ),
    Check(
        "capabilities_restricted",
        ((22, restricted.capabilities), (25, restricted.capabilities_1_25)),
        instead_of="capabilities_baseline",
    ),
    Check("procMount_restricted", ((35, baseline.proc_mount),), instead_of="procMount"),
    Check("restrictedVolumes", ((0, restricted.volumes),), instead_of="hostPathVolumes"),
    Check("runAsNonRoot", ((0, restricted.run_as_non_root), (35, restricted.run_as_non_root_1_35))),
    Check("runAsUser", ((23, restricted.run_as_user), (35, restricted.run_as_user_1_35))),
    Check(
        "seccompProfile_restricted",
        ((19, restricted.seccomp), (25, restricted.seccomp_1_25)),
        instead_of="seccompProfile_baseline",
    ),
)


def violations(asked: LevelVersion, metadata: Obj, spec: Obj) -> list[Violation]:
    """What a Pod (or a template) would break of a level; empty if it may run."""
    if asked.level == "privileged":
        return []
    strict = RESTRICTED if asked.level == "restricted" else ()
    covered = {check.instead_of for check in strict if check.rule(asked)}
    chosen = [check for check in BASELINE if check.name not in covered] + list(strict)
    rules = [rule for check in chosen if (rule := check.rule(asked))]
    return [violation for rule in rules if (violation := rule(metadata, spec))]


def told(found: list[Violation]) -> str:
    """All of them, with who does what."""
    return ", ".join(str(violation) for violation in found)


def reasons(found: list[Violation]) -> str:
    return ", ".join(violation.reason for violation in found)
