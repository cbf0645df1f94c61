"""The task ``embedding``: the network's outputs, whose meaning the transformer knows."""

from predictor.programs.raw import RawProgram

TASK = RawProgram
