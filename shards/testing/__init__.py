"""What tests of stores, here and elsewhere, can rely on: public, and without a test framework.

`faults` has the n-th effect of storage fail. Nothing that runs outside tests imports from here.
"""
