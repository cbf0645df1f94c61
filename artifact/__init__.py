"""The model card and the immutable revision folder: what training hands to serving.

Imports nothing outside the standard library, so that every other room may import it.
"""

from artifact.baseline import Baseline
from artifact.card import FORMAT, Architecture, DataSource, ModelCard, known
from artifact.classification import ManyLabelsContract, Metrics, SeedResult
from artifact.contract import Contract, ImageInput, TensorInput
from artifact.detection import DetectionContract, DetectionMetrics, Selection
from artifact.document import as_document
from artifact.embedding import EmbeddingContract, EmbeddingMetrics
from artifact.errors import (
    ArtifactError,
    CardError,
    ContractConflictError,
    DigestMismatchError,
    InvalidCardError,
    RevisionExistsError,
    RevisionNotFoundError,
)
from artifact.exports import Export, Golden, Weights
from artifact.frame import Frame, Resize, Size, SubjectFrame, Whole
from artifact.keypoints import KeypointsContract, KeypointsMetrics
from artifact.metrics import TaskMetrics
from artifact.photographs import PhotographContract
from artifact.regression import RegressionContract, RegressionMetrics
from artifact.revision import (
    CARD_FILE,
    WEIGHTS_FILE,
    Revision,
    model_contract,
    model_contracts,
    next_revision,
    open_folder,
    open_revision,
    revisions_in,
    revisions_of,
    sha256_of,
    write_revision,
)
from artifact.segmentation import (
    RasterInput,
    Scores,
    SegmentationContract,
    SegmentationMetrics,
    SegmentationRun,
)
from artifact.trust import FAMILIARITY, Trust

__all__ = [
    "CARD_FILE",
    "FAMILIARITY",
    "FORMAT",
    "WEIGHTS_FILE",
    "Architecture",
    "ArtifactError",
    "Baseline",
    "CardError",
    "Contract",
    "ContractConflictError",
    "DataSource",
    "DetectionContract",
    "DetectionMetrics",
    "DigestMismatchError",
    "EmbeddingContract",
    "EmbeddingMetrics",
    "Export",
    "Frame",
    "Golden",
    "ImageInput",
    "InvalidCardError",
    "KeypointsContract",
    "KeypointsMetrics",
    "ManyLabelsContract",
    "Metrics",
    "ModelCard",
    "PhotographContract",
    "RasterInput",
    "RegressionContract",
    "RegressionMetrics",
    "Resize",
    "Revision",
    "RevisionExistsError",
    "RevisionNotFoundError",
    "Scores",
    "SeedResult",
    "SegmentationContract",
    "SegmentationMetrics",
    "SegmentationRun",
    "Selection",
    "Size",
    "SubjectFrame",
    "TaskMetrics",
    "TensorInput",
    "Trust",
    "Weights",
    "Whole",
    "as_document",
    "known",
    "model_contract",
    "model_contracts",
    "next_revision",
    "open_folder",
    "open_revision",
    "revisions_in",
    "revisions_of",
    "sha256_of",
    "write_revision",
]
