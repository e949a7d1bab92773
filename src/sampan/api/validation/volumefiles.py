"""Rules of files in volumes that show API objects: their paths, modes and sources."""

from __future__ import annotations

import re
from collections.abc import Callable

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation import env, labels
from sampan.api.validation.check import Errors, dicts, needed, unsupported
from sampan.api.validation.paths import local_path, needed_local_path

MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"
MIN_TOKEN_S, MAX_TOKEN_S = 600, 2**32
MIN_CERTIFICATE_S, MAX_CERTIFICATE_S = 3600, 91 * 24 * 3600
KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
CONFLICT = "conflicting duplicate paths"
_SIGNER = re.compile(r"[^/]+/[^/]+")


def mode(path: str, number: int | None) -> Errors:
    if number is not None and not 0 <= number <= 0o777:
        yield invalid_value(path, number, MODE_RULE)


def items(path: str, source: Obj) -> Errors:
    """The `items` of a configMap or secret."""
    for index, item in dicts(source, "items"):
        at = f"{path}[{index}]"
        yield from needed(f"{at}.key", item.get("key"))
        yield from needed_local_path(f"{at}.path", item.get("path"))
        yield from mode(f"{at}.mode", item.get("mode"))


def downward_item(path: str, item: Obj) -> Errors:
    """Upstream names no index here."""
    yield from needed_local_path(f"{path}.path", item.get("path"))
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from env.field_reference(f"{path}.fieldRef", field, env.VOLUME_FIELDS)
        if resource is not None:
            sentence = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid_value(path, "resource", sentence)
    elif resource is not None:
        yield from env.resource_reference(f"{path}.resourceFieldRef", resource, of_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from mode(f"{path}.mode", item.get("mode"))


def projected(path: str, source: Obj) -> Errors:
    yield from mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, projection in dicts(source, "sources"):
        at = f"{path}.sources[{index}]"
        given = [kind for kind in PROJECTIONS if projection.get(kind) is not None]
        if not given:
            yield forbidden_value(at, "may not specify an empty projection")
        for kind in given:
            yield from PROJECTIONS[kind](f"{at}.{kind}", projection[kind])
            for file, owner in _files(kind, projection[kind]):
                if file in taken:
                    yield invalid_value(path, owner, CONFLICT)
                taken.add(file)
        if len(given) > 1:
            yield forbidden_value(at, "may not specify more than 1 volume type per source")


def _files(kind: str, source: Obj) -> list[tuple[str, str]]:
    """(path, what a complaint about it names) of each file that is known beforehand."""
    if kind == "clusterTrustBundle":
        listed = [source.get("path")]
    elif kind == "podCertificate":
        listed = [source.get(field) for field in _CERTIFICATE_PATHS]
    else:
        listed = [item.get("path") for _, item in dicts(source, "items")]
    named = kind in ("secret", "configMap")
    return [(file, (source.get("name") or "") if named else file) for file in listed if file]


def _keys(path: str, source: Obj) -> Errors:
    yield from needed(f"{path}.name", source.get("name"))
    yield from items(f"{path}.items", source)


def _downward(path: str, source: Obj) -> Errors:
    for _, item in dicts(source, "items"):
        yield from downward_item(path, item)


def _token(path: str, source: Obj) -> Errors:
    at = f"{path}.expirationSeconds"
    seconds = source.get("expirationSeconds") or 0
    if seconds < MIN_TOKEN_S:
        yield invalid_value(at, seconds, "may not specify a duration less than 10 minutes")
    elif seconds > MAX_TOKEN_S:
        yield invalid_value(at, seconds, "may not specify a duration larger than 2^32 seconds")
    # Upstream tells of this one as if it were the volume's own.
    volume = path.partition(".sources[")[0]
    yield from needed_local_path(f"{volume}.path", source.get("path"))


def _trust_bundle(path: str, source: Obj) -> Errors:
    name, signer = source.get("name"), source.get("signerName")
    if name is not None and signer is not None:
        yield invalid_value(path, source, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield required(f"{path}.name", "must be a valid object name")
        if source.get("labelSelector") is not None:
            sentence = "labelSelector must be unset if name is specified"
            yield invalid_value(f"{path}.labelSelector", source["labelSelector"], sentence)
    elif signer is not None:
        if not signer:
            yield required(f"{path}.signerName", "must be a valid signer name")
        else:
            yield from _signer(f"{path}.signerName", signer)
        yield from labels.selector(f"{path}.labelSelector", source.get("labelSelector"))
    else:
        yield required(path, "either name or signerName must be specified")
    yield from needed_local_path(f"{path}.path", source.get("path"))


_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")


def _certificate(path: str, source: Obj) -> Errors:
    signer = source.get("signerName")
    if not signer:
        yield required(f"{path}.signerName")
    else:
        yield from _signer(f"{path}.signerName", signer)
    if source.get("keyType") not in KEY_TYPES:
        yield unsupported(f"{path}.keyType", source.get("keyType") or "", KEY_TYPES)
    seconds = source.get("maxExpirationSeconds")
    if seconds is not None and not MIN_CERTIFICATE_S <= seconds <= MAX_CERTIFICATE_S:
        sentence = f"must be between {MIN_CERTIFICATE_S} and {MAX_CERTIFICATE_S}, inclusive"
        yield invalid_value(f"{path}.maxExpirationSeconds", seconds, sentence)
    given = [field for field in _CERTIFICATE_PATHS if source.get(field)]
    if not given:
        sentence = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        yield required(path, sentence)
    for field in given:
        yield from local_path(f"{path}.{field}", source[field], reserved=True)


def _signer(path: str, text: str) -> Errors:
    if not _SIGNER.fullmatch(text):
        yield invalid_value(
            path, text, 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        )
        return
    for sentence in names.dns_subdomain(text.partition("/")[0]):
        yield invalid_value(path, text, f'validating label "{text.partition("/")[0]}": {sentence}')


PROJECTIONS: dict[str, Callable[[str, Obj], Errors]] = {
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _certificate,
}
