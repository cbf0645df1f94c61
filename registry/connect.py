"""The registry that the environment names."""

from __future__ import annotations

from registry.history import History
from registry.mirror import MirroredStore
from registry.opening import open_store
from registry.revisions import Registry
from registry.settings import RegistrySettings
from registry.signing import Signer, Verifier
from registry.verified import VerifiedPoint


def connect(settings: RegistrySettings, by: str) -> Registry:
    """Raises StoreError: the store, its mirror or a key cannot be opened."""
    store = open_store(settings.registry)
    if settings.registry_mirror:
        store = MirroredStore(store, open_store(settings.registry_mirror))
    signer = None if settings.registry_key is None else Signer.read(settings.registry_key)
    trusted = settings.trusted_keys
    verifier = Verifier.read(trusted) if trusted else None
    point = VerifiedPoint.of(store.url, verifier.fingerprints) if verifier else None
    return Registry(store, History(store, signer, verifier, point), by)
