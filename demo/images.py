"""The demo's and the tests' images, made from Debian packages; nothing is installed on the host for them.

A staging root is filled by apt with all the packages and what they depend on. Each image then takes the
files it names, with the shared libraries that the loader lists for its programs, and becomes an OCI layout
that skopeo can push. `python demo/images.py DIR` leaves `DIR/layouts/NAME` and `DIR/stage` behind.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = (
    "nginx-light",
    "redis-server",
    "busybox-static",
    "curl",
    "bind9-dnsutils",
    "socat",
    "python3-minimal",
    "libpython3.11-stdlib",
    "docker-registry",
    "base-files",
    "ca-certificates",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOADER = "/lib64/ld-linux-x86-64.so.2"

NGINX_CONF = """\
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    types { text/html html; text/plain txt; }
    access_log /dev/stdout;
    server {
        listen 80;
        root /usr/share/nginx/html;
        include /etc/nginx/conf.d/version;
        add_header X-Pod $hostname;
    }
}
"""
INDEX_HTML = "<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>\n"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"


@dataclass(frozen=True)
class Recipe:
    """One image: programs (with their libraries), trees and files out of the stage, and texts of our own."""

    tags: tuple[str, ...]
    programs: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    version_file: str = ""
    """Where a layer of its own writes the tag's name, so that two tags are two images."""


TOOLS = ("/usr/bin/curl", "/usr/bin/dig", "/usr/bin/socat", "/usr/bin/python3.11", "/usr/bin/redis-cli")

RECIPES: dict[str, Recipe] = {
    "busybox": Recipe(("latest", "1.36"), ("/bin/busybox",), config={"Cmd": ["sh"]}),
    "nginx": Recipe(
        ("latest", "1.27", "1.29"),
        ("/usr/sbin/nginx", "/usr/bin/curl", "/bin/busybox"),
        texts={
            "/etc/nginx/nginx.conf": NGINX_CONF,
            "/usr/share/nginx/html/index.html": INDEX_HTML,
            "/etc/passwd": PASSWD + "www-data:x:33:33:www-data:/var/www:/bin/false\n",
            "/etc/group": GROUP + "www-data:x:33:\n",
        },
        directories=("/var/lib/nginx", "/var/log/nginx", "/run", "/etc/nginx/conf.d", "/usr/share/nginx"),
        config={"Cmd": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT"},
        version_file="/etc/nginx/conf.d/version",
    ),
    "redis": Recipe(
        ("latest", "7"),
        ("/usr/bin/redis-server", "/usr/bin/redis-cli", "/bin/busybox"),
        directories=("/data",),
        config={"Cmd": ["redis-server", "--protected-mode", "no"], "WorkingDir": "/data"},
    ),
    "toolbox": Recipe(
        ("latest",),
        ("/bin/busybox", *TOOLS),
        trees=("/usr/lib/python3.11",),
        config={"Cmd": ["sleep", "infinity"]},
    ),
    "entry": Recipe(
        ("latest",),
        ("/bin/busybox",),
        config={"Entrypoint": ["/bin/echo", "image-entrypoint"], "Cmd": ["image-cmd"]},
    ),
}


def fill_stage(stage: Path) -> None:
    """Downloads `PACKAGES` and all they need, unpacked below `stage`; their install scripts never run."""
    marker = stage / ".packages"
    wanted = " ".join(PACKAGES)
    if marker.exists() and marker.read_text() == wanted:
        return
    stage.mkdir(parents=True, exist_ok=True)
    cache = stage.parent / "debs"
    (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
    status = cache / "status"
    status.write_text("")
    subprocess.run(
        [
            *("apt-get", "-qq", "-y", "--download-only", "--no-install-recommends"),
            *("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={cache}"),
            *("-o", "APT::Sandbox::User=root", "install", *PACKAGES),
        ],
        check=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    for directory in ("bin", "sbin", "lib", "lib64"):
        (stage / "usr" / directory).mkdir(parents=True, exist_ok=True)
        if not (stage / directory).is_symlink():
            (stage / directory).symlink_to(f"usr/{directory}")
    for package in sorted((cache / "archives").glob("*.deb")):
        # dpkg-deb would replace the symlinks above by directories; tar keeps them when told to.
        fsys = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
        subprocess.run(
            ["tar", "-x", "--keep-directory-symlink", "-C", str(stage)], stdin=fsys.stdout, check=True
        )
        if fsys.wait() != 0:
            raise RuntimeError(f"cannot unpack {package}")
    marker.write_text(wanted)


def libraries(stage: Path, program: str) -> list[str]:
    """Absolute paths, within the stage, of the shared libraries a program loads; empty if it is static."""
    run = subprocess.run(
        ["chroot", str(stage), LOADER, "--list", program], capture_output=True, text=True, check=False
    )
    found = [LOADER] if run.returncode == 0 else []
    for line in run.stdout.splitlines():
        _, arrow, target = line.strip().partition(" => ")
        if arrow:
            found.append(target.split(" ")[0])
    return found


def files_of(recipe: Recipe, stage: Path) -> set[Path]:
    """All stage files of a recipe, symlinks followed to their ends, as real paths below the stage."""
    names: set[str] = set()
    for program in recipe.programs:
        names |= {program, *libraries(stage, program)}
    for tree in recipe.trees:
        for path in (stage / tree.lstrip("/")).rglob("*"):
            if "__pycache__" in path.parts or "/test/" in str(path) or path.is_dir():
                continue
            names.add("/" + str(path.relative_to(stage)))
            if path.suffix == ".so":
                names.update(libraries(stage, "/" + str(path.relative_to(stage))))
    found: set[Path] = set()
    for name in names:
        path = stage / name.lstrip("/")
        path = path.parent.resolve() / path.name
        found.add(path)
        while path.is_symlink():
            target = path.readlink()
            path = (stage / str(target).lstrip("/")) if target.is_absolute() else path.parent / target
            path = path.parent.resolve() / path.name
            found.add(path)
    return found


class Layer:
    """A tar being written; all files root-owned and dated 1970: same input, same digest."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)
        self._directories: set[str] = set()

    def directory(self, name: str, mode: int = 0o755) -> None:
        name = name.strip("/")
        if not name or name in self._directories:
            return
        self.directory(str(Path(name).parent).strip("."))
        self._directories.add(name)
        self._add(name, tarfile.DIRTYPE, mode)

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        self._file(name, content.encode(), mode)

    def symlink(self, name: str, target: str) -> None:
        self.directory(str(Path(name).parent).strip("."))
        self._add(name, tarfile.SYMTYPE, 0o777, target)

    def copy(self, source: Path, name: str) -> None:
        if source.is_symlink():
            self.symlink(name, str(source.readlink()))
        else:
            self._file(name, source.read_bytes(), source.stat().st_mode & 0o777)

    def close(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _file(self, name: str, content: bytes, mode: int) -> None:
        self.directory(str(Path(name.lstrip("/")).parent).strip("."))
        info = tarfile.TarInfo(name.strip("/"))
        info.size, info.mode = len(content), mode
        self._tar.addfile(info, io.BytesIO(content))

    def _add(self, name: str, kind: bytes, mode: int, target: str = "") -> None:
        info = tarfile.TarInfo(name.strip("/"))
        info.type, info.mode, info.linkname = kind, mode, target
        self._tar.addfile(info)


def base_layer(recipe: Recipe, stage: Path) -> bytes:
    layer = Layer()
    for directory in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "root", "proc", "sys", "dev"):
        layer.directory(directory)
    for directory in ("bin", "sbin", "lib", "lib64"):
        layer.symlink(directory, f"usr/{directory}")
    layer.directory("tmp", 0o1777)
    for directory in recipe.directories:
        layer.directory(directory)
    for path in sorted(files_of(recipe, stage)):
        layer.copy(path, str(path.relative_to(stage.resolve())))
    if "/bin/busybox" in recipe.programs:
        listed = subprocess.run(
            [str(stage / "bin/busybox"), "--list"], capture_output=True, text=True, check=True
        )
        taken = {Path(program).name for program in recipe.programs}
        for applet in listed.stdout.split():
            if applet not in taken:
                layer.symlink(f"usr/bin/{applet}", "busybox")
    if "/usr/bin/python3.11" in recipe.programs:
        layer.symlink("usr/bin/python3", "python3.11")
    for name, content in {"/etc/passwd": PASSWD, "/etc/group": GROUP, **recipe.texts}.items():
        layer.text(name, content)
    return layer.close()


def version_layer(recipe: Recipe, tag: str) -> bytes:
    layer = Layer()
    layer.text(recipe.version_file, f'add_header X-Version "{tag}";\n')
    return layer.close()


def write_layout(target: Path, images: Iterable[tuple[str, list[bytes], Mapping[str, object]]]) -> None:
    """An OCI image layout of (tag, layers, config) at `target`; layers shared by tags are stored once."""
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    packed: dict[bytes, bytes] = {}
    manifests = []
    for tag, layers, config in images:
        for tar in layers:
            packed.setdefault(tar, gzip.compress(tar, 1, mtime=0))
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [f"PATH={PATH}"], **config},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in layers],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": put(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [put(packed[tar], "application/vnd.oci.image.layer.v1.tar+gzip") for tar in layers],
        }
        entry = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        manifests.append({**entry, "annotations": {"org.opencontainers.image.ref.name": tag}})
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))


def build(work: Path) -> dict[str, Recipe]:
    """Makes every image below `work` unless it is there; answers the recipes by name."""
    stage = work / "stage"
    fill_stage(stage)
    edition, marker = hashlib.sha256(Path(__file__).read_bytes()).hexdigest(), work / "edition"
    if not marker.exists() or marker.read_text() != edition:
        shutil.rmtree(work / "layouts", ignore_errors=True)
        marker.write_text(edition)
    for name, recipe in RECIPES.items():
        target = work / "layouts" / name
        if (target / "index.json").exists():
            continue
        base = base_layer(recipe, stage)
        images = []
        for tag in recipe.tags:
            layers = [base, version_layer(recipe, tag)] if recipe.version_file else [base]
            images.append((tag, layers, recipe.config))
        write_layout(target, images)
    return RECIPES


if __name__ == "__main__":
    for image in build(Path(sys.argv[1]).resolve()):
        print(image)
