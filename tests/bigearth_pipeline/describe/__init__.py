"""Tests of `bigearth_pipeline.describe`."""
