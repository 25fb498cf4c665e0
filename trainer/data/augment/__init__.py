"""Random variation of patches: recipes, their draws, and mixing of patches."""
