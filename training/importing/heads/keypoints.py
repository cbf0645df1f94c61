"""The head of keypoints: one output, whose layout the contract names."""

from training.importing.heads.raw import RawHead

TASK = RawHead("keypoints")
