"""Training steps fed from shards beside steps on one batch that lies on the device.

Measures `trainer.training`; the loader and its stages are in `bench.loader`.
"""
