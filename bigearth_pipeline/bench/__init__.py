"""`bep bench`: how fast it is here."""
