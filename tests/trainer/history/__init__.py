"""Tests of `trainer.history`."""
