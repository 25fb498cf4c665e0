"""The parts of `tools/gpu_check.py`: its steps, the time that each may take, and the targets.

What only a GPU can show is checked and measured by commands in processes of their own.
"""
