from sampan.api.resources import SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.dns.announce import NAME, NAMESPACE, announce


async def test_the_service_is_there_once() -> None:
    client = Client(FakeTransport())
    await announce(client, "10.96.0.10")
    await announce(client, "10.96.0.10")
    service = await client.get(SERVICES, NAME, NAMESPACE)
    assert service["spec"]["clusterIP"] == "10.96.0.10"
