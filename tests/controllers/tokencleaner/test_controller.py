import time
from functools import partial

from harness.world import World, running
from sampan.api import bootstraptoken
from sampan.api.resources import SECRETS
from sampan.controllers.tokencleaner.controller import TokenCleaner


def names(world: World) -> set[str]:
    return {secret["metadata"]["name"] for secret in world.fake.objects(SECRETS)}


async def test_a_token_goes_when_its_time_is_over() -> None:
    cleaner = partial(TokenCleaner, now=lambda: time.time())  # looked up late, for it is the loop's
    now_s = time.time()
    secrets = [
        bootstraptoken.secret(f"{name}.0123456789abcdef", expires_s=expires_s)
        for name, expires_s in (("gone00", now_s - 5), ("soon00", now_s + 1), ("last00", None))
    ]
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "kube-system"}}
    async with running(World(*secrets, {**other, "type": "Opaque"}), cleaner) as world:
        await world.until(lambda: names(world) == {"bootstrap-token-last00", "x"})
