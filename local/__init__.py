"""The whole service on one machine, without a cluster: ``make run``."""
