"""A registry of one's own on loopback, open or behind a password."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "alice", "secret"
_HTPASSWD = "alice:$2b$04$aWMUPM3WDFxkPmibjhBUiOCFKsGTXYsl3AiZ5jnnSOSdu4.safzQy\n"


@contextmanager
def serve(base: Path, *, private: bool = False) -> Iterator[str]:
    """docker-registry on a free port, its data below `base`; answers its address."""
    if shutil.which("docker-registry") is None or shutil.which("skopeo") is None:
        pytest.skip("needs docker-registry and skopeo")
    base.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    text = (
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{base}/data'}}, delete: {{enabled: true}}}}\n"
    )
    if private:
        (base / "htpasswd").write_text(_HTPASSWD)
        text += f"auth: {{htpasswd: {{realm: test, path: '{base}/htpasswd'}}}}\n"
    (base / "config.yml").write_text(text)
    with (base / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(base / "config.yml")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 10
        while not _answers(address):
            assert time.monotonic() < deadline, (base / "log").read_text()
            time.sleep(0.02)
        yield address
    finally:
        server.terminate()
        server.wait()


def push(layout: Path, registry: str, name: str, *, private: bool = False) -> None:
    options = ["-q", "--dest-tls-verify=false"]
    if private:
        options += ["--dest-creds", f"{USER}:{PASSWORD}"]
    command = ["skopeo", "copy", *options, f"oci:{layout}", f"docker://{registry}/{name}"]
    subprocess.run(command, check=True, capture_output=True)


def _answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True
