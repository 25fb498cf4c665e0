"""Readers of a BigEarthNet source: folders, tables, lists, annotations and band files. Nothing is written."""
