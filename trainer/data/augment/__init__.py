"""What is random about a patch: recipes, their draws, and mixing of patches."""
