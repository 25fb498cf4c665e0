"""Synthetic patches in the official layout, whose spectra depend on the land cover in them: to try and to test with."""
