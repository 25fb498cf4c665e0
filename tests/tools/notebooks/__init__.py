"""Tests of the notebooks in `tools/notebooks`."""
