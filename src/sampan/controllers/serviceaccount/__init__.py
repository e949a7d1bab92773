"""What every namespace is born with: the service account `default` and the ConfigMap `kube-root-ca.crt`."""
