"""A registry on loopback that plays docker.io: Debian's docker-registry with the images of images.py."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

import images

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Mirror:
    """`with Mirror(work) as mirror:` serves until the block ends; `mirror.url` is for `--registry-mirror`."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mirror:
        recipes = images.build(self.work)
        self._serve()
        try:
            for name, recipe in recipes.items():
                for tag in recipe.tags:
                    self._push(name, tag)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _serve(self) -> None:
        config = self.work / "registry.yml"
        config.write_text(CONFIG.format(root=self.work / "registry", port=self.port))
        program = self.work / "stage/usr/bin/docker-registry"
        self._process = subprocess.Popen(
            [str(program), "serve", str(config)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/v2/", timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError("docker-registry does not answer on loopback") from None
                time.sleep(0.05)

    def _push(self, name: str, tag: str) -> None:
        source = f"oci:{self.work / 'layouts' / name}:{tag}"
        target = f"docker://127.0.0.1:{self.port}/library/{name}:{tag}"
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", source, target],
            check=True,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
