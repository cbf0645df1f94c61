"""Canary, promotion and rollback of model revisions over the Kubernetes API."""
