"""Objectives of the service, and the rules, alerts and panels that come from them."""
