"""The report of several runs: a file a section; `contents.py` reads the runs and pairs their predictions.

`report.py` puts the sections in order. Scores are computed in `bigearth_pipeline.report.scores`.
"""
