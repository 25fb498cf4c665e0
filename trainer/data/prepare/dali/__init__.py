"""The DALI backend: its pipeline, a graph for a CPU, two for a GPU, and their arguments.

`gpu_graph` makes images by operators, `record_graph` by a kernel where no operator will do; what torch does after
operators, such as `interleave`, belongs here too.
"""
