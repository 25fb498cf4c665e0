"""Scores of predictions and their intervals: NumPy arrays in, numbers out.

Nothing here knows of runs, stores or pages; drawing is in `bigearth_pipeline.report.figure`.
"""
