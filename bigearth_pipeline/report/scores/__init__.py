"""Facts that pages show of predictions: curves, calibration, mistakes, examples. NumPy arrays in, numbers out.

Nothing here knows of runs, stores or pages; scores with intervals are in `trainer.metrics.intervals`.
"""
