"""What a node needs of its machine, looked for before anything is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sampan.cli.errors import UserError

TOOLS: Mapping[str, str] = {
    "crun": "crun",
    "conmon": "conmon",
    "skopeo": "skopeo",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "umount": "mount",
}
"""Program -> the Debian package that has it."""

SEARCH = ":/usr/local/sbin:/usr/sbin:/sbin"
"""Where system programs lie that an ordinary PATH may lack."""


def check() -> None:
    """Raises UserError that names everything missing at once."""
    if os.geteuid() != 0:
        raise UserError(
            "sampan up needs root: it makes network namespaces, mounts and cgroups" + _user_namespaces(),
            "Run it with sudo.",
        )
    path = os.environ.get("PATH", os.defpath)
    missing = {tool: package for tool, package in TOOLS.items() if not shutil.which(tool, path=path + SEARCH)}
    if missing:
        raise UserError(
            f"these programs are missing: {', '.join(missing)}",
            f"apt-get install {' '.join(dict.fromkeys(missing.values()))}",
        )


def _user_namespaces() -> str:
    """Whether this kernel would at least let an ordinary user make namespaces."""
    for switch in ("user/max_user_namespaces", "kernel/unprivileged_userns_clone"):
        file = Path("/proc/sys", switch)
        if file.exists() and file.read_text().strip() == "0":
            return ", and this kernel lets no ordinary user make namespaces of their own"
    return ""
