"""A training process: its ranks, precision, memory, signals and reports. Neither data nor networks."""
