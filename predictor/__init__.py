"""The predictor: networks, loading and inference behind KServe's model server."""

import serving  # noqa: F401  (before kserve: it says what of it is imported)
