"""Imported before the tests' modules, which import timm and transformers, and they torchvision."""

import training.torchvision_ops  # noqa: F401
