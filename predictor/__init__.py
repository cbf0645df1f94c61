"""The predictor: networks, loading and inference behind KServe's model server."""
