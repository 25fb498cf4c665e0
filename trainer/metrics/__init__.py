"""Quality of multi-label predictions."""
