"""The report of a run: a file a section; scores are computed in `bigearth_pipeline.report.scores`.

`report.py` puts the sections in order, `contents.py` finds files and store. Charts are in `report.figure`.
"""
