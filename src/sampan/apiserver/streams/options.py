"""What a query asks of a container: which one, which command, which streams."""

from __future__ import annotations

from sampan.api import errors, podspec
from sampan.api.objects import Obj
from sampan.api.streams import ExecOptions
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.params import true


def exec_options(exchange: Exchange, pod: Obj, subresource: str, named: str = "") -> ExecOptions:
    """Of an exec or attach; `named` is a container that is not in the query. Raises 400."""
    query = exchange.query
    flags = {name: true(value) for name, value in query}
    command = tuple(value for name, value in query if name == "command")
    if subresource == "exec" and not command:
        raise errors.bad_request("you must specify at least 1 command for the container")
    if not any(flags.get(name) for name in ("stdin", "stdout", "stderr")):
        raise errors.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if podspec.is_terminal(pod):
        phase = pod["status"]["phase"]
        raise errors.bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
    asked = named or next((value for name, value in query if name == "container"), "")
    tty = flags.get("tty", False)
    return ExecOptions(
        container=container_of(pod, asked),
        command=command if subresource == "exec" else (),
        stdin=flags.get("stdin", False),
        stdout=flags.get("stdout", False),
        stderr=flags.get("stderr", False) and not tty,
        tty=tty,
    )


def container_of(pod: Obj, asked: str) -> str:
    """The container asked for, or the one that is meant without asking; raises 400."""
    name = pod["metadata"]["name"]
    main = [container["name"] for container in pod["spec"].get("containers") or ()]
    every = [container["name"] for _, _, container in podspec.all_containers(pod["spec"])]
    if asked:
        if asked not in every:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    annotations = pod["metadata"].get("annotations") or {}
    default = annotations.get("kubectl.kubernetes.io/default-container")
    if default in main:
        return str(default)
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    init = [item["name"] for item in pod["spec"].get("initContainers") or ()]
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    ephemeral = [item["name"] for item in pod["spec"].get("ephemeralContainers") or ()]
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise errors.bad_request(text)
