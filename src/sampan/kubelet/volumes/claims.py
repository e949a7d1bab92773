"""Volumes that are claims: what the bound persistent volume is made of is mounted as if the Pod named it.

A Pod comes to a node with its claims bound, unless it named its node itself: then it waits here, and is woken
when a claim changes, for `references` watches them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, name_of, uid_of
from sampan.api.persistence import (
    FACTS,
    ClaimOfPod,
    allows,
    claim_ref,
    claims_of,
    is_bound,
    made_for,
    volume_mode,
)
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.client.client import Client
from sampan.kubelet.references import References
from sampan.kubelet.volumes import nfs
from sampan.kubelet.volumes.contract import Mounted, Settled, Volume, VolumeFault, VolumeKind

FIELDS = ("persistentVolumeClaim", "ephemeral")
SUPPORTED_OPTIONS = {"local": ("bind", "rbind", "rw", "ro", "exec", "noexec", "nosuid", "nodev")}
"""By source; one that is not here has no options, or none that are known beforehand."""
NO_OPTIONS = ("hostPath",)


class ClaimFault(VolumeFault):
    """There is nothing to mount yet."""

    @property
    def told(self) -> str:
        name = self.volume
        return (
            f"Unable to attach or mount volumes: unmounted volumes=[{name}], unattached volumes=[], "
            f"failed to process volumes=[{name}]: {self.message}"
        )


class AffinityFault(VolumeFault):
    @property
    def told(self) -> str:
        return f'MountVolume.NodeAffinity check failed for volume "{self.volume}" : {self.message}'


@dataclass(frozen=True, slots=True)
class _Bound:
    """A Pod's claim and what lies behind it."""

    use: ClaimOfPod
    volume: Obj

    @property
    def source(self) -> str:
        spec = self.volume["spec"]
        return next((field for field in spec if field not in FACTS and spec[field] is not None), "")


class Claims(Settled):
    """`kinds` are those that a persistent volume may be made of, by the field of its spec."""

    plugin = "kubernetes.io~persistent-claim"

    def __init__(
        self,
        client: Client,
        references: References,
        node: Callable[[], Obj | None],
        kinds: Mapping[str, VolumeKind],
    ) -> None:
        self._client, self._references, self._node, self._kinds = client, references, node, kinds

    async def setup(self, volume: Volume) -> Mounted:
        bound = await self._bound(volume)
        name = name_of(bound.volume)
        node = self._node()
        if node is not None and not allows(bound.volume, node):
            raise AffinityFault(name, "no matching NodeSelectorTerms")
        kind = self._kinds.get(bound.source)
        if kind is None:
            raise VolumeFault(name, f"no volume plugin matched: {bound.source or 'no source'}")
        options = _options(bound)
        source = bound.volume["spec"][bound.source]
        try:
            if bound.source == "nfs" and options:
                # Idempotent, so what the kind does after this is to see that it is there.
                export = f"{source['server']}:{source['path']}"
                await nfs.mount(name, export, volume.directory, options)
            mounted = await kind.setup(replace(volume, spec={"name": volume.name, bound.source: source}))
        except VolumeFault as fault:
            raise VolumeFault(name, fault.message) from fault
        read_only = bound.use.read_only or bool(source.get("readOnly")) or "ro" in options
        return replace(
            mounted,
            read_only=mounted.read_only or read_only,
            no_exec=mounted.no_exec or "noexec" in options,
        )

    async def _bound(self, volume: Volume) -> _Bound:
        use = next(use for use in claims_of(volume.pod) if use.volume == volume.name)
        try:
            claim = await self._claim(volume, use)
            found = await self._volume(claim)
            _check_mode(volume, found)
        except _Unready as error:
            message = f"error processing PVC {volume.namespace}/{use.claim}: {error}"
            raise ClaimFault(volume.name, message) from error
        return _Bound(use, found)

    async def _claim(self, volume: Volume, use: ClaimOfPod) -> Obj:
        claim = await self._references.get(PERSISTENT_VOLUME_CLAIMS, volume.namespace, use.claim)
        if claim is None:
            missing = f'persistentvolumeclaims "{use.claim}" not found'
            raise _Unready(f"failed to fetch PVC from API server: {missing}")
        if use.is_ephemeral and (why := made_for(claim, volume.pod)):
            raise _Unready(why)
        if is_deleting(claim) and not _has_run(volume.pod):
            raise _Unready("PVC is being deleted")
        if not is_bound(claim) or (claim.get("status") or {}).get("phase") == "Lost":
            raise _Unready("PVC is not bound")
        return claim

    async def _volume(self, claim: Obj) -> Obj:
        name = claim["spec"]["volumeName"]
        try:
            volume = await self._client.get(PERSISTENT_VOLUMES, name)
        except StatusError as error:
            raise _Unready(f"failed to fetch PV {name} from API server: {error.message}") from error
        ref = claim_ref(volume)
        if not ref:
            raise _Unready(
                f"found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound "
                "to the claim"
            )
        if ref.get("uid") != uid_of(claim):
            raise _Unready(
                f"found PV object {name} but its pv.Spec.ClaimRef.UID {ref.get('uid', '')} does not point to "
                f"claim.UID {uid_of(claim)}"
            )
        return volume


class _Unready(Exception):
    """Why a claim cannot be mounted."""


def _has_run(pod: Obj) -> bool:
    """Such a Pod goes on with a claim that stays for its sake, also after a restart of a container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(each.get("restartCount") or "waiting" not in (each.get("state") or {}) for each in statuses)


def _check_mode(volume: Volume, found: Obj) -> None:
    mode = volume_mode(found)
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in volume.pod["spec"].get(group) or ():
            if mode == "Block" and _names(container, "volumeMounts", volume.name):
                raise _Unready(f"volume {volume.name} has volumeMode Block, but is specified in volumeMounts")
            if _names(container, "volumeDevices", volume.name):
                if mode == "Filesystem":
                    why = "has volumeMode Filesystem, but is specified in volumeDevices"
                    raise _Unready(f"volume {volume.name} {why}")
                raise _Unready(f"volume {volume.name} has volumeMode Block, which this node does not support")


def _names(container: Obj, field: str, volume: str) -> bool:
    return any(use.get("name") == volume for use in container.get(field) or ())


def _options(bound: _Bound) -> list[str]:
    options: list[str] = bound.volume["spec"].get("mountOptions") or []
    if options and bound.source in NO_OPTIONS:
        raise VolumeFault(name_of(bound.volume), "Mount options are not supported for this volume type")
    known = SUPPORTED_OPTIONS.get(bound.source)
    for option in options:
        if known is not None and option not in known:
            raise VolumeFault(name_of(bound.volume), f'mount option "{option}" is not supported')
    return options
