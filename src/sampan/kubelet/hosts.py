"""/etc/hosts and host names of a Pod. Pure.

Source: tasks/network/customize-hosts-file-for-pods, concepts/services-networking/dns-pod-service.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.objects import Obj, name_of, namespace_of

MANAGED = "# Kubernetes-managed hosts file.\n"
MANAGED_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
ALIASES = "\n# Entries added by HostAliases.\n"
HOSTNAME_LIMIT = 63
KERNEL_LIMIT = 64
"""Characters that a host name may have for the kernel."""

_LOOPBACK = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


class HostnameTooLong(Exception):
    """The text is fit for an Event."""


def hostname(pod: Obj) -> str:
    """What `hostname` says in the Pod: `spec.hostname`, else its name, cut to 63 characters."""
    override = pod["spec"].get("hostnameOverride")
    name: str = override or pod["spec"].get("hostname") or name_of(pod)
    return name if override else name[:HOSTNAME_LIMIT].rstrip("-.")


def domain(pod: Obj, cluster_domain: str) -> str:
    """The Pod's DNS domain, `""` without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain or pod["spec"].get("hostnameOverride"):
        return ""
    return f"{subdomain}.{namespace_of(pod)}.svc.{cluster_domain}"


def uts_hostname(pod: Obj, cluster_domain: str, node_name: str) -> str:
    """The kernel's host name: fully qualified where `setHostnameAsFQDN` asks; the node's with its network.

    Raises HostnameTooLong.
    """
    if pod["spec"].get("hostNetwork"):
        return node_name
    name, suffix = hostname(pod), domain(pod, cluster_domain)
    if not suffix or not pod["spec"].get("setHostnameAsFQDN"):
        return name
    full = f"{name}.{suffix}"
    if len(full) > KERNEL_LIMIT:
        raise HostnameTooLong(
            f"failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long "
            f"({KERNEL_LIMIT} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Obj, ips: Sequence[str], cluster_domain: str, node_hosts: str = "") -> str:
    """`node_hosts`: the node's own file, which a hostNetwork Pod goes on seeing."""
    if pod["spec"].get("hostNetwork"):
        return MANAGED_HOST_NETWORK + node_hosts + _aliases(pod)
    name, suffix = hostname(pod), domain(pod, cluster_domain)
    names = f"{name}.{suffix}\t{name}" if suffix else name
    own = "".join(f"{ip}\t{names}\n" for ip in ips)
    return MANAGED + _LOOPBACK + own + _aliases(pod)


def _aliases(pod: Obj) -> str:
    aliases = pod["spec"].get("hostAliases") or ()
    if not aliases:
        return ""
    return ALIASES + "".join(f"{alias['ip']}\t" + "\t".join(alias["hostnames"]) + "\n" for alias in aliases)
