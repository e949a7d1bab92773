"""Kubernetes' Pods and Services in Python: a real cluster node in a second."""

__version__ = "0.1.0"

KUBERNETES_VERSION = "1.35"
"""The upstream minor version whose API surface is served."""
