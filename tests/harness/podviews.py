"""Pod views made by hand, for tests of what is decided and reported on them."""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj
from sampan.kubelet.containerview import LABEL_HASH, ContainerView, spec_hash
from sampan.kubelet.images.fake import image
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, Record, Sandbox

NOW = 1000.0
NGINX = image("nginx")


def make_view(*names: str, init: tuple[str, ...] = (), policy: str = "Always", **spec: Any) -> PodView:
    def containers(of: tuple[str, ...]) -> list[Obj]:
        return [{"name": name, "image": "nginx"} for name in of]

    pod = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1"},
        "spec": {
            "restartPolicy": policy,
            "containers": containers(names or ("web",)),
            "initContainers": containers(init),
            **spec,
        },
    }
    return PodView.of(pod, NOW)


def up(view: PodView) -> PodView:
    view.state, view.sandbox, view.ips = PodState.UP, Sandbox("u", net="/net"), ("10.0.0.1",)
    return view


def record(container: ContainerView, exit: Exit | None = None) -> Record:
    spec = ContainerSpec(
        f"{container.name}-{container.attempt}",
        "u",
        container.name,
        container.attempt,
        (),
        (),
        {},
        "/",
        "",
        (),
        "",
        "",
        labels={LABEL_HASH: spec_hash(container.spec)},
    )
    return Record(spec, 1, NOW, NOW, exit)


def run(container: ContainerView, now_s: float = NOW) -> None:
    container.image = NGINX
    container.begin(now_s)
    container.running(record(container))


def end(container: ContainerView, code: int | Exit, at_s: float = NOW) -> None:
    """It ends with a code, or just like that."""
    container.exited(record(container, code if isinstance(code, Exit) else Exit(code, at_s)))
