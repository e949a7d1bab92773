"""A real node for tests: `sampan up` in a directory of its own, and the real kubectl to talk to it.

Used by the end-to-end tests, the demo's twin scenes and the benchmarks; needs root and the host tools.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PROGRAMS = Path(sys.executable).parent
LIMIT_S = 60.0
"""For what comes within a second: as long as a busy machine may stand still."""
COMMAND_S = 180.0
"""For a whole command, which may wait for several such things."""


@dataclass(frozen=True)
class Output:
    """What a command said."""

    code: int
    out: str
    err: str


class CommandFailed(AssertionError):
    pass


def run(
    argv: Sequence[str], *, stdin: str = "", env: dict[str, str] | None = None, timeout_s: float = COMMAND_S
) -> Output:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=env, check=False
    )
    return Output(done.returncode, done.stdout, done.stderr)


class Node:
    """One cluster by name; everything of it below `work`."""

    def __init__(self, work: Path, name: str, mirror_url: str = "") -> None:
        self.name, self.work, self._mirror_url = name, work, mirror_url
        self.data = work / "data"
        self.kubeconfig = work / "kubeconfig"
        self.env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    # -- the command line ------------------------------------------------------------------------------

    def sampan(self, *words: str, timeout_s: float = COMMAND_S) -> Output:
        verb, *rest = words
        argv = [str(PROGRAMS / "sampan"), verb, "--name", self.name, "--data-dir", str(self.data), *rest]
        return run(argv, env=self.env, timeout_s=timeout_s)

    def verb(self, *words: str, timeout_s: float = COMMAND_S) -> Output:
        """`sampan node ls` and its like, which must succeed."""
        where = ["--name", self.name, "--data-dir", str(self.data)]
        output = run([str(PROGRAMS / "sampan"), *words, *where], env=self.env, timeout_s=timeout_s)
        if output.code:
            raise CommandFailed(f"{' '.join(words)}: {output.err}")
        return output

    @property
    def mirrors(self) -> list[str]:
        """What every `up` says."""
        return ["--registry-mirror", f"docker.io={self._mirror_url}"] if self._mirror_url else []

    def up(self, *words: str) -> Output:
        output = self.sampan("up", "--kubeconfig", str(self.kubeconfig), *self.mirrors, *words)
        if output.code:
            log = self.data / "sampan.log"
            raise CommandFailed(f"up: {output.err}\n{log.read_text() if log.exists() else ''}")
        return output

    def down(self) -> Output:
        output = self.sampan("down", "--kubeconfig", str(self.kubeconfig))
        if output.code:
            raise CommandFailed(f"down: {output.err}")
        return output

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        """The cluster's process ends by this signal; its Pods go on."""
        descriptor = os.pidfd_open(self.pid)
        signal.pidfd_send_signal(descriptor, number)
        select.select([descriptor], [], [], LIMIT_S)
        os.close(descriptor)

    @property
    def pid(self) -> int:
        return int((self.data / "lock").read_text())

    # -- kubectl ---------------------------------------------------------------------------------------

    def kubectl(
        self, *words: str, stdin: str = "", check: bool = True, timeout_s: float = COMMAND_S
    ) -> Output:
        output = run([kubectl_path(), *words], stdin=stdin, env=self.env, timeout_s=timeout_s)
        if check and output.code:
            raise CommandFailed(f"kubectl {' '.join(words)}\n{output.out}{output.err}")
        return output

    def apply(self, yaml: str, namespace: str) -> None:
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        output = self.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        found: dict[str, Any] = json.loads(output.out)
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        words = ["get", kind, "-n", namespace, "-o", "json", *(["-l", selector] if selector else [])]
        items: list[dict[str, Any]] = json.loads(self.kubectl(*words).out)["items"]
        return items

    def events(self, name: str, namespace: str) -> list[dict[str, Any]]:
        output = self.kubectl(
            "get", "events", "-n", namespace, "-o", "json", f"--field-selector=involvedObject.name={name}"
        )
        items: list[dict[str, Any]] = json.loads(output.out)["items"]
        return items

    def wait_ready(self, name: str, namespace: str, timeout_s: float = 2 * LIMIT_S) -> None:
        """`name` as kubectl wait takes it, for instance `pod/web`."""
        self.kubectl("wait", "--for=condition=Ready", name, "-n", namespace, f"--timeout={timeout_s:.0f}s")

    def rolled_out(self, deployment: str, namespace: str, timeout_s: float = 2 * LIMIT_S) -> None:
        self.kubectl(
            *("rollout", "status", f"deployment/{deployment}", "-n", namespace),
            f"--timeout={timeout_s:.0f}s",
            timeout_s=timeout_s + LIMIT_S,
        )

    def sh(self, pod: str, namespace: str, command: str, container: str = "", check: bool = True) -> str:
        """What a shell command printed inside a container."""
        where = ["-c", container] if container else []
        output = self.kubectl("exec", pod, "-n", namespace, *where, "--", "sh", "-c", command, check=check)
        return output.out if check else output.out + output.err


def kubectl_path() -> str:
    """The development environment's kubectl: a known version on every machine."""
    return str(PROGRAMS / "kubectl")


def eventually(look: Callable[[], T], timeout_s: float = LIMIT_S, every_s: float = 0.1) -> T:
    """The first truthy answer of `look`; what it raised or answered last is in the failure."""
    deadline = time.monotonic() + timeout_s
    while True:
        problem: object
        try:
            found = look()
            if found:
                return found
            problem = found
        except (AssertionError, LookupError, OSError, ValueError, subprocess.SubprocessError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s; last seen: {problem!r}")
        time.sleep(every_s)
