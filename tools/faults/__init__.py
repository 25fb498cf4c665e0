"""Injection of damage: each kind done many times to the running program, and the outcomes counted.

`python -m tools.faults --out tools/faults` writes `results.json` and the table of the README, `RESULTS.md`.
"""
