"""Programs that run on a GPU by themselves: rates of kernels, timm's own rate, and two ranks on one device.

Each prints what it has found; where the check calls one, it prints JSON last.
"""
