"""How far a classifier's answers can be trusted, and how that was measured."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.fields import Fields

FAMILIARITY = "familiarity"
"""Name of the output that says how like the training data an instance is, from 0 to 1."""

FAMILIAR_FROM = 0.5
"""Familiarity below which a classifier is unsure: every revision's scores are shifted to it."""

METHODS = ("outlier-exposure",)


@dataclass(frozen=True)
class Trust:
    """What a revision says of its second output.

    Attributes:
        method: ``outlier-exposure``: a perceptron on the network's features that was shown what is
            of no class, beside the training data (Hendrycks et al., 2019, arXiv:1812.04606).
        threshold: familiarity below which an answer says ``unsure``.
        flagged: share of pictures below it, by what they are; ``test`` is the official test set.
    """

    method: str
    threshold: float
    flagged: dict[str, float]

    @classmethod
    def read(cls, fields: Fields) -> Trust:
        named = fields.mapping("flagged")
        flagged = Fields(named, fields.path("flagged"))
        value = cls(
            method=fields.choice("method", METHODS),
            threshold=fields.share("threshold"),
            flagged={name: flagged.share(name) for name in named},
        )
        if value.threshold != FAMILIAR_FROM:
            fields.fault("threshold", f"must be {FAMILIAR_FROM}: scores are shifted to it")
        return value
