"""Measures of explanations: effect of the pixels and bands that they name, and agreement with a map of the classes.

Tests that need other weights belong to `trainer.explain.sanity`.
"""
