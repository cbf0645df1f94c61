"""Photographs of what the data sets hold: digits on paper, garments on plain backgrounds.

Made from 28 × 28 pictures by a seeded generator, for what people send is no data set: it is shaded,
grainy, blurred, turned, seen at an angle, compressed, and its subject is somewhere in the frame.
"""

from training.photographs.scene import Photograph
from training.photographs.sets import KINDS, SIZES, Shot, shots

__all__ = ["KINDS", "SIZES", "Photograph", "Shot", "shots"]
