"""A build beside each of its stages, and beside a plain converter.

Needs no deep-learning stack; what batches take is in `bench.loader`.
"""
