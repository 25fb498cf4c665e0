"""Tests of builds whose folder holds something: shards of an earlier run, or files of others."""
