"""Frames: how a picture is brought to a contract's height and width, by the frame's kind."""

from transformer.frames.framing import Framing, framing_for

__all__ = ["Framing", "framing_for"]
