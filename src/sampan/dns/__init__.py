"""The cluster's DNS: Services as names (Kubernetes DNS specification 1.1), the rest to the host."""
