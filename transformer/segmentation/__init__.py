"""The task ``segmentation``: rasters of any size to masks, tile by tile."""
