"""The peers: what teams weigh this service against, each in an environment of its own."""
