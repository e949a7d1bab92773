"""kubeconfig files: find, read, change one context and leave the rest as it is, write back in one step.

The format is that of https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampan.api.objects import Obj

LOCK_WAIT_S = 2.0
_LOCK_MARK = b"sampan\n"


class KubeconfigError(Exception):
    """The file cannot be read as a kubeconfig, or does not hold what was asked for. Says which and why."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a cluster and as whom; the bytes are PEM."""

    server: str
    ca: bytes = b""
    client_cert: bytes = b""
    client_key: bytes = b""
    token: str = ""
    namespace: str = ""


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file kubectl would write to: the first of `$KUBECONFIG`, or `~/.kube/config`."""
    listed = (os.environ if environ is None else environ).get("KUBECONFIG", "")
    for entry in listed.split(os.pathsep):
        if entry:
            return Path(entry).expanduser()
    return Path("~/.kube/config").expanduser()


def load(path: Path) -> Obj:
    """The file's content; an empty config if there is no file. Raises KubeconfigError."""
    import yaml  # 20 ms that only those pay who need it

    try:
        config = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        config = None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path} is not YAML: {error}") from error
    if config is None:
        config = {"apiVersion": "v1", "kind": "Config"}
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig: it holds a {type(config).__name__}")
    for section in _SECTIONS:
        config[section] = config.get(section) or []
        if not isinstance(config[section], list) or not all(isinstance(e, dict) for e in config[section]):
            raise KubeconfigError(f"{path} is not a kubeconfig: its {section} are no list of objects")
    return config


def add_context(path: Path, name: str, access: Access, *, current: bool = True) -> None:
    """Writes a context `name`, with a cluster and a user of the same name, in place of former ones.

    `current` makes it the one kubectl uses from now on.
    """

    def change(config: Obj) -> None:
        context = {"cluster": name, "user": name}
        if access.namespace:
            context["namespace"] = access.namespace
        _put(config["clusters"], {"name": name, "cluster": _cluster(access)})
        _put(config["users"], {"name": name, "user": _user(access)})
        _put(config["contexts"], {"name": name, "context": context})
        if current:
            config["current-context"] = name

    _rewrite(path, change)


def remove_context(path: Path, name: str) -> None:
    """Takes a context, and the cluster and the user of its name, out of the file. Absent is fine."""

    def change(config: Obj) -> None:
        for section in _SECTIONS:
            config[section] = [entry for entry in config[section] if entry.get("name") != name]
        if config.get("current-context") == name:
            config["current-context"] = ""

    if path.exists():
        _rewrite(path, change)


def access(path: Path, context: str = "") -> Access:
    """What a context of the file (by default the current one) says. Raises KubeconfigError."""
    config = load(path)
    name = context or config.get("current-context") or ""
    if not name:
        raise KubeconfigError(f"{path} has no current context; name one")
    chosen = _find(path, config, "contexts", name)
    cluster = _find(path, config, "clusters", chosen.get("cluster", ""))
    user = _find(path, config, "users", chosen.get("user", ""))
    return Access(
        server=cluster.get("server", ""),
        ca=_content(path, cluster, "certificate-authority"),
        client_cert=_content(path, user, "client-certificate"),
        client_key=_content(path, user, "client-key"),
        token=user.get("token", ""),
        namespace=chosen.get("namespace", ""),
    )


_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}


def _cluster(access: Access) -> Obj:
    cluster = {"server": access.server}
    if access.ca:
        cluster["certificate-authority-data"] = _base64(access.ca)
    return cluster


def _user(access: Access) -> Obj:
    user: Obj = {}
    if access.client_cert:
        user["client-certificate-data"] = _base64(access.client_cert)
        user["client-key-data"] = _base64(access.client_key)
    if access.token:
        user["token"] = access.token
    return user


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _put(entries: list[Obj], entry: Obj) -> None:
    """Replaces the entry of the same name where it stands, or appends."""
    for number, present in enumerate(entries):
        if present.get("name") == entry["name"]:
            entries[number] = entry
            return
    entries.append(entry)


def _find(path: Path, config: Obj, section: str, name: str) -> Obj:
    for entry in config[section]:
        if entry.get("name") == name:
            return entry.get(_SECTIONS[section]) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in config[section])) or "none"
    raise KubeconfigError(f"{path} has no {_SECTIONS[section]} {name!r}; it has: {known}")


def _content(path: Path, section: Mapping[str, str], field: str) -> bytes:
    """`field`-data, or the file that `field` names (relative to the kubeconfig)."""
    if data := section.get(f"{field}-data"):
        try:
            return base64.b64decode(data)
        except binascii.Error as error:
            raise KubeconfigError(f"{path}: {field}-data is not base64: {error}") from error
    if name := section.get(field):
        try:
            return (path.parent / name).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{path}: {field}: {error}") from error
    return b""


def _rewrite(path: Path, change: Callable[[Obj], Any]) -> None:
    path = Path(os.path.realpath(path))  # a link stays a link
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path):
        config = load(path)
        change(config)
        _save(path, config)


def _save(path: Path, config: Obj) -> None:
    """Writes beside the file and renames: readers see the old one or the new one."""
    import yaml

    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=False)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:
                # Under sudo the file is another's and must stay so.
                owner = (path if path.exists() else path.parent).stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The lock that kubectl takes, too: a file that only one can create.

    Ours is told from kubectl's by what is in it, and the kernel's lock on it ends with its process: one that
    a killed process left is taken away.
    """
    lock = path.with_name(f"{path.name}.lock")
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{lock.name}.")
    try:
        os.write(descriptor, _LOCK_MARK)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _link(beside, lock, path)
        try:
            yield
        finally:
            lock.unlink()
    finally:
        os.close(descriptor)
        Path(beside).unlink()


def _link(beside: str, lock: Path, path: Path) -> None:
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            os.link(beside, lock)
            return
        except FileExistsError:
            if _remove_abandoned(lock):
                continue
            if time.monotonic() > deadline_s:
                raise KubeconfigError(
                    f"{path} is being changed by somebody else; if not, remove {lock} and try again"
                ) from None
            time.sleep(0.02)


def _remove_abandoned(lock: Path) -> bool:
    """Whether the lock is gone now. One whose holder lives, or that kubectl made, stays."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read() != _LOCK_MARK:
                return False
            # Still the file that we hold: nobody else may remove it, or put another in its place.
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                lock.unlink()
            return True
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
