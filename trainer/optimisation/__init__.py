"""Losses, optimisers, schedules, and the moving average of weights."""
