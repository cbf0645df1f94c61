"""How many pods, nodes and how much money so many requests a second take, by what one costs.

``autoscaler`` is Knative's (KPA), ``service`` what it scales, ``day`` what comes.
"""
