"""Reading a tree from tar archives in one pass, of which nothing is unpacked: bytes → members → patches.

`location` gives bytes, `compression` the tar in them, `headers` and `members` its files, `scan` whole patches of usual
files, `folders` the tree that they form, and `gather` the band files of each patch. What a member says is checked;
nothing is ever written under its name.
"""
