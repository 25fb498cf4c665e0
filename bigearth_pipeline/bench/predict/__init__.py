"""Predicting a scene beside the network alone, and reading it beside a plain loop over its windows.

Measures `bigearth_pipeline.scenes`; training is in `bench.train`.
"""
