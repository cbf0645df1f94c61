"""The task ``segmentation``: rasters of any size to masks, tile by tile."""

from transformer.segmentation.model import SegmentationModel

TASK = SegmentationModel
