"""Inputs of a prediction, found and described: which file holds which band, when it was taken, which offset it has.

Only metadata is read here; pixels are read in `grid` and `patches`.
"""
