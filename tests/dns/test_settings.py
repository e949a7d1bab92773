"""The configuration as users change it."""

import asyncio
from collections.abc import Callable, Mapping

from harness import dnstalk
from sampan.api.resources import CONFIG_MAPS, EVENTS
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns.announce import corefile_map
from sampan.dns.config import default_corefile, read
from sampan.dns.settings import Settings
from sampan.dns.upstream import Upstream

DEFAULT = default_corefile("cluster.local")


async def until(look: Callable[[], object]) -> None:
    async def seen() -> object:
        return look()

    await dnstalk.until(seen)


async def test_what_cannot_be_read_is_not_taken_and_that_is_said() -> None:
    client = Client(FakeTransport())
    taken: list[str] = []

    def configure(text: str, files: Mapping[str, str]) -> None:
        read(text, "cluster.local", files)
        taken.append(text)

    await client.create(CONFIG_MAPS, corefile_map("cluster.local"))
    informers = Informers(client)
    events = EventRecorder(client, "coredns")
    settings = Settings(informers, events, configure, DEFAULT)
    running = asyncio.create_task(informers.run())
    await settings.informer.wait_synced()
    assert taken == [], "the default is what it begins with"

    async def write(text: str) -> None:
        change = {"data": {"Corefile": text}}
        await client.patch(CONFIG_MAPS, "coredns", change, namespace="kube-system")

    async def said() -> list[tuple[str, str]]:
        await events.flush()
        found = (await client.list(EVENTS, "kube-system"))["items"]
        return [(event["reason"], event["message"]) for event in found]

    other = DEFAULT.replace("ttl 5", "ttl 30")
    await write(other)
    await until(lambda: taken == [other])
    await write(DEFAULT.replace("ttl 5", "ttl soon"))
    await write(other.replace("errors", "log"))
    await until(lambda: len(taken) == 2)
    assert (
        "CorefileRefused",
        "Corefile, line 7: kubernetes: 'soon' is no number up to 3600; "
        "the configuration before it stays in force",
    ) in await said()
    await client.delete(CONFIG_MAPS, "coredns", namespace="kube-system")
    await until(lambda: taken[-1] == DEFAULT)
    await client.create(CONFIG_MAPS, corefile_map("cluster.local"))
    await until(lambda: settings.informer.list())
    settings.loop_found(Upstream("10.0.0.1"))
    assert any(reason == "DNSLoop" and "10.0.0.1:53" in message for reason, message in await said())
    running.cancel()
