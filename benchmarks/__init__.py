"""What the service costs beside its peers: ``make bench``."""
