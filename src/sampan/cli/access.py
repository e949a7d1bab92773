"""A running cluster's API, for verbs that ask it something as the administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sampan.api.errors import StatusError
from sampan.cli.cluster import Cluster
from sampan.cli.errors import UserError
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.https import HttpsTransport


@asynccontextmanager
async def administrator(cluster: Cluster) -> AsyncIterator[Client]:
    """Raises UserError if the cluster is down, does not answer, or refuses."""
    pid = cluster.running_pid()
    if not pid:
        raise UserError(
            f"the cluster {cluster.name!r} is down", f"`sampan up --name {cluster.name}` brings it back up."
        )
    try:
        client = Client(HttpsTransport.to(kubeconfig.access(cluster.kubeconfig)))
        try:
            yield client
        finally:
            await client.close()
    except (Unreachable, kubeconfig.KubeconfigError) as error:
        raise UserError(
            f"process {pid} runs, but its API does not answer: {error}", f"Its log is {cluster.log}."
        ) from error
    except StatusError as error:
        raise UserError(f"the cluster says: {error.message}") from error
