"""`bep bench build`: a build beside each of its stages."""
