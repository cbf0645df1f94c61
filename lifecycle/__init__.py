"""New data becomes a better revision by itself.

A run takes what arrived through checks, training, evaluation, publication and rollout. Its state is
in the registry's store as objects that are created once, so that any step can be ended at any time
and done again, by whoever comes next.
"""
