"""The report of a store: a file a section, each a function that computes and one that writes the section.

`report.py` puts the sections in order. Charts are drawn in `bigearth_pipeline.report.figure`.
"""
