"""Stores and runs that released versions have made, and the tests that later versions still read them."""
