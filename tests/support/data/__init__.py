"""Real and small data, stores that are made of it, and damage to both."""
