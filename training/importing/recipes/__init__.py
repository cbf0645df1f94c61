"""Recipes: how a picture becomes a network's tensor, as fields of ``contract.input``.

Each library describes the same facts in words of its own; one module each translates them.
"""
