"""Who a container runs as: the image's `User` string and the Pod's securityContext, looked up in the image.

Pure: works on the texts of the image's /etc/passwd and /etc/group. Forms of `User`: name, uid, each with an
optional `:group` or `:gid`; empty is root. Supplementary groups of the image are merged with the Pod's,
unless its supplementalGroupsPolicy is Strict (KEP-3619). The primary group is one of them, as upstream's
runtimes have it: a process that changes its primary group would else lose what that group is denied.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.kubelet.runtime.contract import RuntimeFault, Security

_MAX_ID = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class User:
    """As the kernel wants it, and the home directory that HOME is set to."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    uid: int
    gid: int
    home: str


def resolve(image_user: str, security: Security, passwd: str, group: str) -> User:
    """Raises RuntimeFault("CreateContainerError") where a name is not in the image."""
    entries, groups = _passwd(passwd), _groups(group)
    user, _, group_text = image_user.partition(":")
    if security.uid is not None:
        # The image's group belongs to the image's user, so it does not apply to another one.
        user, group_text = str(security.uid), ""
    entry = _find_user(user, entries)
    uid = entry.uid if entry else int(user or "0")
    if security.gid is not None:
        gid = security.gid
    elif group_text:
        gid = _find_group(group_text, groups)
    else:
        gid = entry.gid if entry else 0
    member_of = {number for _, number, members in groups if entry and entry.name in members}
    if security.strict_groups:
        member_of.clear()
    extra = tuple(sorted({gid, *member_of, *security.groups}))
    return User(uid, gid, extra, (entry.home if entry else "") or "/")


def _find_user(text: str, entries: list[_Entry]) -> _Entry | None:
    """The entry; None for a number that has none."""
    wanted = text or "0"
    for entry in entries:
        if entry.name == wanted or (wanted.isdecimal() and entry.uid == int(wanted)):
            return entry
    if not wanted.isdecimal() or int(wanted) > _MAX_ID:
        raise _fault(f"unable to find user {wanted}: no matching entries in passwd file")
    return None


def _find_group(text: str, groups: list[tuple[str, int, list[str]]]) -> int:
    for name, number, _ in groups:
        if name == text:
            return number
    if not text.isdecimal() or int(text) > _MAX_ID:
        raise _fault(f"unable to find group {text}: no matching entries in group file")
    return int(text)


def _passwd(text: str) -> list[_Entry]:
    rows = (line.split(":") for line in text.splitlines() if not line.startswith("#"))
    return [
        _Entry(row[0], int(row[2]), int(row[3]), row[5])
        for row in rows
        if len(row) >= 6 and row[2].isdecimal() and row[3].isdecimal()
    ]


def _groups(text: str) -> list[tuple[str, int, list[str]]]:
    rows = (line.split(":") for line in text.splitlines() if not line.startswith("#"))
    return [(row[0], int(row[2]), row[3].split(",")) for row in rows if len(row) >= 4 and row[2].isdecimal()]


def _fault(message: str) -> RuntimeFault:
    return RuntimeFault("CreateContainerError", message)
