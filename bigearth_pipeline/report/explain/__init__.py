"""Explanations of a run's scores as pictures, arrays and a page: `panel` for a report, `work` for `bep explain`.

The methods are `trainer.explain`'s; here patches are chosen and results drawn.
"""
