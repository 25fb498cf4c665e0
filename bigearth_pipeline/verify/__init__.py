"""`bep verify`: every byte of a store, against itself and against its source."""
