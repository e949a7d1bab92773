from functools import partial

from harness.world import World, running
from sampan.api import bootstraptoken, jws
from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.controllers.bootstrapsigner.controller import BootstrapSigner, kubeconfig

making = partial(BootstrapSigner, server="https://127.0.0.1:6443", ca_pem="CA")
SECRET = bootstraptoken.secret("abcdef.0123456789abcdef", expires_s=None)


def data(world: World) -> dict[str, str]:
    found = world.fake.get(CONFIG_MAPS, "cluster-info", "kube-public")
    return found["data"] if found else {}


async def test_cluster_info_is_signed_with_every_token_there_is() -> None:
    async with running(World(SECRET), making) as world:
        await world.until(lambda: "jws-kubeconfig-abcdef" in data(world))
        content = data(world)["kubeconfig"]
        assert content == kubeconfig("https://127.0.0.1:6443", "CA")
        signature = data(world)["jws-kubeconfig-abcdef"]
        assert jws.verified(signature, content, "abcdef", "0123456789abcdef")
        await world.client.delete(SECRETS, "bootstrap-token-abcdef", namespace="kube-system")
        await world.until(lambda: data(world) == {"kubeconfig": content})


async def test_what_somebody_else_writes_there_is_taken_back() -> None:
    async with running(World(), making) as world:
        await world.until(lambda: bool(data(world)))
        before = data(world)
        patch = {"data": {"kubeconfig": "evil"}}
        await world.client.patch(CONFIG_MAPS, "cluster-info", patch, namespace="kube-public")
        await world.until(lambda: data(world) == before)
