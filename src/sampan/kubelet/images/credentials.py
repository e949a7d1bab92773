"""Who a pull says it is: credentials from `.dockerconfigjson`, the older `.dockercfg`, or the node.

An entry's key names a registry, perhaps with a path: `quay.io`, `*.example.com`, `registry:5000/team`,
`https://index.docker.io/v1/`. It fits an image whose host it is (label by label, `*` stands for within one)
and whose path begins with its path; of several the longer comes first. Source: concepts/containers/images,
"Interpretation of config.json".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import orjson

from sampan.kubelet.images.reference import DEFAULT_HOST

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Credential:
    """One entry. `ours`: it is the node's, so what it opens is open to every Pod of the node."""

    key: str
    user: str
    password: str
    identity_token: str = ""
    ours: bool = False

    @property
    def fingerprint(self) -> str:
        """Tells credentials apart without telling them."""
        text = json.dumps([self.user, self.password, self.identity_token])
        return hashlib.sha256(text.encode()).hexdigest()

    def auth_file(self, host: str) -> bytes:
        """containers-auth.json(5) with this entry alone, for `host`."""
        entry = {"auth": base64.b64encode(f"{self.user}:{self.password}".encode()).decode()}
        if self.identity_token:
            entry["identitytoken"] = self.identity_token
        return orjson.dumps({"auths": {host: entry}})


def matching(name: str, documents: Iterable[Mapping[str, object]], *, ours: bool = False) -> list[Credential]:
    """For `host/path`, most specific key first; equal credentials once."""
    found = [entry for document in documents for entry in _entries(document, ours) if fits(entry.key, name)]
    found.sort(key=lambda entry: len(_split(entry.key)[1]), reverse=True)
    return list({entry.fingerprint: entry for entry in reversed(found)}.values())[::-1]


def fits(key: str, name: str) -> bool:
    """Whether an entry under `key` is for the image `host/path`."""
    (host, prefix), (wanted_host, _, wanted_path) = _split(key), name.partition("/")
    if host in _DOCKER_HUB:
        host = DEFAULT_HOST
    pattern, port = _port(host)
    wanted, wanted_port = _port(wanted_host)
    if port != wanted_port or pattern.count(".") != wanted.count("."):
        return False
    labels = zip(wanted.split("."), pattern.split("."), strict=True)
    if not all(fnmatchcase(label, glob) for label, glob in labels):
        return False
    return wanted_path.startswith(prefix)


def opens(guards: Sequence[str], name: str, documents: Sequence[Mapping[str, object]]) -> bool:
    """Whether somebody with these documents may use an image that was fetched with one of `guards`.

    Source: KEP-2535, policy NeverVerifyPreloadedImages. Images without guards are anybody's.
    """
    return not guards or any(entry.fingerprint in guards for entry in matching(name, documents))


def node_documents(environment: Mapping[str, str] | None = None) -> list[Mapping[str, object]]:
    """What `podman login`, `skopeo login` and `docker login` left for this user."""
    env = os.environ if environment is None else environment
    home = Path(env.get("HOME") or "/root")
    runtime = Path(env.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}")
    files = (
        Path(env["REGISTRY_AUTH_FILE"]) if env.get("REGISTRY_AUTH_FILE") else None,
        runtime / ("containers/auth.json" if env.get("XDG_RUNTIME_DIR") else "auth.json"),
        home / ".config/containers/auth.json",
        home / ".docker/config.json",
        home / ".dockercfg",
        Path("/etc/containers/auth.json"),
    )
    return [document for file in files if file is not None and (document := _read(file)) is not None]


def _read(file: Path) -> Mapping[str, object] | None:
    try:
        document = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return document if isinstance(document, dict) else None


def _entries(document: Mapping[str, object], ours: bool) -> Iterator[Credential]:
    entries = document.get("auths", document)
    for key, entry in entries.items() if isinstance(entries, Mapping) else ():
        if not isinstance(entry, Mapping):
            continue
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
        if text := entry.get("auth"):
            try:
                decoded = base64.b64decode(str(text)).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
            user, _, password = decoded.partition(":")
        token = str(entry.get("identitytoken") or "")
        if user or token:
            yield Credential(str(key), user, password.rstrip("\0"), token, ours)


def _split(key: str) -> tuple[str, str]:
    """(host, path prefix); the API versions that old clients wrote behind the host are no path."""
    bare = key.removeprefix("https://").removeprefix("http://").strip("/")
    host, _, path = bare.partition("/")
    return host, "" if path in ("v1", "v2") else path


def _port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdecimal() else (host, "")
