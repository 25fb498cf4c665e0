"""Tests of reading scenes: files, tiles, windows."""
