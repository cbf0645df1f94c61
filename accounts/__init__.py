"""Who may use the service, what they used and what it costs: people, keys, usage, bills.

See ``README.md`` beside this file for the design.
"""
