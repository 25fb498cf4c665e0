"""Commands that train CNNs, apply them, explain them and hand them on.

What they do is in `trainer`, `bigearth_pipeline.scenes` and `bigearth_pipeline.report`.
"""
