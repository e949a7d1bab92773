"""A Pod's imagePullSecrets, decoded. Those of its service account were written into it at admission.

Source: tasks/configure-pod-container/pull-image-private-registry.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson

from sampan.api.objects import Obj, namespace_of
from sampan.api.resources import SECRETS
from sampan.kubelet.references import References


async def documents(references: References, pod: Obj) -> tuple[list[Mapping[str, object]], list[str]]:
    """(the `.dockerconfigjson` documents to pull with, names of Secrets that are not there).

    Raises ValueError for what is no JSON, StatusError when the API cannot be asked.
    """
    found: list[Mapping[str, object]] = []
    missing: list[str] = []
    for ref in pod["spec"].get("imagePullSecrets") or ():
        if not (name := ref.get("name")):
            continue
        secret = await references.get(SECRETS, namespace_of(pod), name)
        if secret is None:
            missing.append(name)
            continue
        data = secret.get("data") or {}
        if text := data.get(".dockerconfigjson"):
            found.append(orjson.loads(base64.b64decode(text)))
        elif text := data.get(".dockercfg"):
            found.append({"auths": orjson.loads(base64.b64decode(text))})
    return found, missing
