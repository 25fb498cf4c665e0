"""Metadata of a store: manifest, index, and the check that the two agree. Pixels do not belong here."""
