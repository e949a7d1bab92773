from __future__ import annotations

import pytest

from sampan.kubelet.runtime.contract import RuntimeFault, Security
from sampan.kubelet.runtime.users import User, resolve

PASSWD = """# comment
root:x:0:0:root:/root:/bin/sh
nginx:x:101:102:nginx:/var/cache/nginx:/bin/false
broken:x:abc:1::/:
short:x:5
"""
GROUP = "root:x:0:\nnginx:x:102:\nssl:x:30:nginx,other\nadm:x:4:root\n"


@pytest.mark.parametrize(
    ("image", "security", "user"),
    [
        ("", Security(), User(0, 0, (0, 4), "/root")),
        ("nginx", Security(), User(101, 102, (30, 102), "/var/cache/nginx")),
        ("101", Security(), User(101, 102, (30, 102), "/var/cache/nginx")),
        ("nginx:ssl", Security(), User(101, 30, (30,), "/var/cache/nginx")),
        ("nginx:999", Security(), User(101, 999, (30, 999), "/var/cache/nginx")),
        ("7777", Security(), User(7777, 0, (0,), "/")),
        ("7777:8888", Security(), User(7777, 8888, (8888,), "/")),
        ("nginx:ssl", Security(uid=5), User(5, 0, (0,), "/")),
        ("nginx", Security(uid=101), User(101, 102, (30, 102), "/var/cache/nginx")),
        ("nginx", Security(gid=9, groups=(40, 30, 9)), User(101, 9, (9, 30, 40), "/var/cache/nginx")),
        ("nginx", Security(groups=(40,), strict_groups=True), User(101, 102, (40, 102), "/var/cache/nginx")),
    ],
)
def test_who_a_container_is(image: str, security: Security, user: User) -> None:
    assert resolve(image, security, PASSWD, GROUP) == user


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("bob", "unable to find user bob: no matching entries in passwd file"),
        ("broken", "unable to find user broken"),
        ("nginx:bobs", "unable to find group bobs: no matching entries in group file"),
        ("4294967296", "unable to find user 4294967296"),
    ],
)
def test_names_that_the_image_does_not_know(image: str, why: str) -> None:
    with pytest.raises(RuntimeFault, match=why):
        resolve(image, Security(), PASSWD, GROUP)


def test_an_image_without_files() -> None:
    assert resolve("", Security(), "", "") == User(0, 0, (0,), "/")
