"""Explanations as pictures, arrays and a page."""
