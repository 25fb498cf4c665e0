"""Mutation testing: small changes of the code (of cosmic-ray) that the quick tests of it should notice.

`python -m tools.mutation` prints the share that is noticed by file and writes `tools/records/tests/mutation.json`.
"""
