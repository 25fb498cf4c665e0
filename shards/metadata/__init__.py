"""What a store says of itself: manifest, index, and whether the two agree. Pixels do not belong here."""
