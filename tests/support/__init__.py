"""Helpers that tests of several folders use: marks, paths, and numbers of examples."""
