"""Scores with intervals by the bootstrap over Sentinel-2 tiles: NumPy arrays in, numbers out.

Scores of a whole split without intervals are in `trainer.metrics.metrics`; nothing here knows of runs, stores or pages.
"""
