"""Explanations of networks: methods, sanity, scores."""
