"""Metadata of a store: manifest, index, and the check that the two agree; published figures. No pixels."""
