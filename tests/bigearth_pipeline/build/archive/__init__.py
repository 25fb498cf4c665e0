"""Tests of builds from archives."""
