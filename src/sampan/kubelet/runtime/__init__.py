"""Containers out of the host's crun and conmon; the only place of the kubelet that touches processes."""
