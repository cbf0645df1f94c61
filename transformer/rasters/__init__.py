"""Rasters: bands of pixels that are read a few rows at a time, whatever file they come from."""
