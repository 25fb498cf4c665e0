"""The DALI backend: a graph for a CPU, a graph for a GPU, and their arguments."""
