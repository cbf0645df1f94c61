"""A process without network, secrets, other programs, or files to write but its own."""

from training.importing.sandbox.confinement import Bounds, confine, missing
from training.importing.sandbox.process import run_confined

__all__ = ["Bounds", "confine", "missing", "run_confined"]
