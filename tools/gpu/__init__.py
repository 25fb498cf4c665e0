"""Predictions without a GPU (`predict`), measurements on one (`measure`), and the check of one (`check`).

`tools/gpu_check.py` is the command of the check; the modules of `measure` are commands of their own, and so is
`predict.launches`.
"""
