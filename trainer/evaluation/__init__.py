"""Measuring a network on patches: during a run, of a finished run, and of published weights."""
