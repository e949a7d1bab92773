"""skopeo, which speaks to registries for us: manifests, blobs, authentication, mirrors, proxies.

A host with a mirror is asked for there first, and at its own address only if the mirror does not have the
image. Hosts without follow the system's registries.conf. Credentials are tried one after the other; they
reach skopeo in a file of mode 0600 that lives as long as the call, never on its command line.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from sampan.kubelet.images.credentials import Credential, matching, node_documents
from sampan.kubelet.images.reference import Reference

ASK_DEADLINE_S = 60.0
COPY_DEADLINE_S = 3600.0
POLICY = Path("/etc/containers/policy.json")

_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
# What skopeo puts before the cause, outermost first.
_WRAPPINGS = (
    re.compile(r'^Error parsing image name "[^"]*": '),
    re.compile(r"^initializing source \S+: "),
    re.compile(r"^(?:copying system image from manifest list|determining manifest MIME type for \S+): "),
    re.compile(r"^reading manifest \S+ in \S+: "),
    re.compile(r"^pinging container registry \S+: "),
    re.compile(r"^unable to retrieve auth token: "),
)
_ABSENT = re.compile(r"manifest unknown|name unknown|not found|StatusCode: 404", re.I)
_DENIED = re.compile(
    r"unauthorized|authentication required|access (?:to the resource is )?denied|forbidden|no basic auth",
    re.I,
)
_OTHER_PLATFORM = re.compile(r"no image found in (?:manifest list|image index) for (.*)", re.I)
_DENIED_WORDS = "pull access denied, repository does not exist or may require authorization"


class SkopeoFault(Exception):
    """The text is one sentence. The registry answered: `absent`, it does not have it; `denied`, not to us."""

    def __init__(self, message: str, *, absent: bool = False, denied: bool = False) -> None:
        super().__init__(message)
        self.absent, self.denied = absent, denied


@dataclass(frozen=True, slots=True)
class Found:
    """What a reference stands for at a registry now. `mirror`: where it was, or ""; `key`: by whose word."""

    digest: str
    mirror: str
    key: Credential | None = None


class Skopeo:
    """`mirrors`: host -> URL (http:// is taken as said, without certificates)."""

    def __init__(self, mirrors: Mapping[str, str], scratch: Path) -> None:
        self._mirrors, self._scratch = dict(mirrors), scratch

    async def ask(self, reference: Reference, auth: Sequence[Mapping[str, object]]) -> Found:
        """The digest of the manifest, or of the index of several, that the registry has."""
        mirror = self._mirrors.get(reference.host, "")
        if mirror:
            try:
                return await self._try(reference, mirror, auth)
            except SkopeoFault as at_mirror:
                if not at_mirror.absent:
                    raise
                try:
                    return await self._try(reference, "", auth)
                except SkopeoFault as at_origin:
                    # Where the origin cannot be reached, the mirror's word is the better answer.
                    raise (at_origin if at_origin.absent else at_mirror) from at_origin
        return await self._try(reference, "", auth)

    async def _try(self, reference: Reference, mirror: str, auth: Sequence[Mapping[str, object]]) -> Found:
        """The Pod's credentials, then the node's. Without any, skopeo's own (login helpers), or nobody's."""
        names = [f"{_location(mirror)}/{reference.path}"] if mirror else []
        names.append(reference.name)
        keys: list[Credential | None] = [key for name in names for key in matching(name, auth)]
        nodes = node_documents()
        keys += [key for name in names for key in matching(name, nodes, ours=True)]
        for key in keys[:-1]:
            try:
                return Found(await self._digest(reference, mirror, key), mirror, key)
            except SkopeoFault as fault:
                if not fault.denied:
                    raise
        last = keys[-1] if keys else None
        return Found(await self._digest(reference, mirror, last), mirror, last)

    async def copy(
        self,
        reference: Reference,
        found: Found,
        layout: Path,
        blobs: Path,
    ) -> None:
        """Into a new layout directory, its blobs into the shared directory, where present ones are reused."""
        pinned = Reference(reference.host, reference.path, digest=found.digest)
        options = ["--quiet", "--remove-signatures", "--dest-shared-blob-dir", str(blobs)]
        target = f"oci:{layout}:image"
        with self._files(reference.host, found.mirror, found.key) as (global_options, auth_options):
            arguments = ["copy", *options, *auth_options, f"docker://{pinned.docker}", target]
            await self._run([*global_options, *arguments], str(reference), COPY_DEADLINE_S)

    async def unarchive(self, archive: Path, source_tag: str, layout: Path, blobs: Path) -> None:
        """One image of a docker archive, into a layout directory."""
        source = f"docker-archive:{archive}" + (f":{source_tag}" if source_tag else "")
        options = ["--quiet", "--dest-shared-blob-dir", str(blobs)]
        arguments = [*_policy(), "copy", *options, source, f"oci:{layout}:image"]
        await self._run(arguments, source_tag or archive.name, COPY_DEADLINE_S)

    async def archive_tags(self, archive: Path) -> list[str]:
        """The references in a docker archive."""
        arguments = [*_policy(), "list-tags", f"docker-archive:{archive}"]
        output = await self._run(arguments, archive.name, ASK_DEADLINE_S)
        return list(orjson.loads(output).get("Tags") or [])

    async def _digest(self, reference: Reference, mirror: str, key: Credential | None) -> str:
        with self._files(reference.host, mirror, key) as (global_options, auth_options):
            arguments = ["inspect", "--raw", *auth_options, f"docker://{reference.docker}"]
            raw = await self._run([*global_options, *arguments], str(reference), ASK_DEADLINE_S)
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        if reference.digest.startswith("sha256:") and digest != reference.digest:
            raise SkopeoFault(f"the registry sent {digest} for {reference}")
        return digest

    @contextmanager
    def _files(self, host: str, mirror: str, key: Credential | None) -> Iterator[tuple[list[str], list[str]]]:
        """(options before the verb, options after it); the files live as long as the context, mode 0600."""
        global_options, auth_options = _policy(), list[str]()
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="pull-") as directory:
            if mirror:
                conf = Path(directory, "registries.conf")
                conf.write_text(registries_conf(host, mirror))
                # Hidden in skopeo's help, but the environment variable is ignored up to 1.9.
                global_options += ["--registries-conf", str(conf)]
            if key is not None:
                file = Path(directory, "auth.json")
                file.touch(mode=0o600)
                file.write_bytes(key.auth_file(_location(mirror).partition("/")[0] if mirror else host))
                auth_options += ["--authfile", str(file)]
            yield global_options, auth_options

    async def _run(self, arguments: Sequence[str], reference: str, deadline_s: float) -> bytes:
        path = os.environ.get("PATH", os.defpath) + ":/usr/bin:/usr/local/bin"
        if (tool := shutil.which("skopeo", path=path)) is None:
            raise SkopeoFault("skopeo not found; install with: apt-get install skopeo")
        pipe = asyncio.subprocess.PIPE
        devnull = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            tool, *arguments, stdin=devnull, stdout=pipe, stderr=pipe
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), deadline_s)
        except TimeoutError as error:
            raise SkopeoFault(f"the registry did not answer in {deadline_s:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise explain(errors.decode(errors="replace"), reference)
        return output


def registries_conf(host: str, mirror: str) -> str:
    """containers-registries.conf(5): `host` lives at `mirror`, and nowhere else."""
    return (
        "unqualified-search-registries = []\n[[registry]]\n"
        f"prefix = {json.dumps(host)}\nlocation = {json.dumps(_location(mirror))}\n"
        f"insecure = {'true' if mirror.startswith('http://') else 'false'}\n"
    )


def _location(mirror: str) -> str:
    url = urlsplit(mirror if "://" in mirror else f"https://{mirror}")
    return (url.netloc + url.path).rstrip("/")


def explain(errors: str, reference: str) -> SkopeoFault:
    """The cause in skopeo's last words, which are the registry's."""
    fatal = _FATAL.findall(errors)
    lines = errors.strip().splitlines()
    text = json.loads(f'"{fatal[-1]}"') if fatal else (lines[-1] if lines else "skopeo failed without a word")
    if _ABSENT.search(text):
        return SkopeoFault(f"{reference}: not found", absent=True)
    for wrapping in _WRAPPINGS:
        text = wrapping.sub("", text)
    if other := _OTHER_PLATFORM.search(text):
        return SkopeoFault(f"{reference} has no image for {other[1]}: no match for platform in manifest")
    if _DENIED.search(text):
        return SkopeoFault(f"{_DENIED_WORDS}: {' '.join(text.split())}", denied=True)
    return SkopeoFault(text)


def _policy() -> list[str]:
    """skopeo wants a signature policy; without one on the machine, everything is accepted."""
    return [] if POLICY.exists() else ["--insecure-policy"]
