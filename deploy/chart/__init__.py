"""Makes the Helm chart `k8s/chart` out of what Kustomize renders, so that the two cannot differ."""
