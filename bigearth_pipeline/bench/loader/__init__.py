"""Batches from a store beside each of the stages that they go through, and what an epoch of BigEarthNet would take.

Measures `trainer.data`; steps of training are in `bench.train`.
"""
