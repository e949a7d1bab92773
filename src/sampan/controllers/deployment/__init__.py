"""Deployments: one ReplicaSet per revision of the template, rolled from the old ones to the new."""
