"""Tests of scenes that cannot be used: each ends in one line that says why, before anything is predicted."""
