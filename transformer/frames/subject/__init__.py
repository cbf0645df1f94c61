"""The frame ``subject``: what a picture is of, found, lit evenly and fitted into its box."""

from transformer.frames.subject.framing import FramedSubject, SubjectFraming

__all__ = ["FramedSubject", "SubjectFraming"]
