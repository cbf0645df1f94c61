"""v2 over gRPC: KServe's service, and unary calls over ``serving.http2`` for both its ends."""
