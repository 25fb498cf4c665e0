"""Tests of the methods themselves: an explanation has to depend on the weights of the network that it explains.

What an explanation is worth on a patch is measured in `trainer.explain.score`.
"""
