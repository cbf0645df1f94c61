"""What stands between clients and models: Envoy, and the check and the meter that it asks.

``ext_authz`` asks before a request reaches a model, ``ext_proc`` reports its answer's headers.
"""
