"""Loggers of runs beside TensorBoard: Weights & Biases, MLflow; one file each, with all that is known of that library.

TensorBoard, which every run writes, is `trainer.runs.tensorboard`; what is logged is `trainer.runs.scalars`.
"""
