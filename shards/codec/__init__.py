"""Record codecs: one file or folder a codec, the interface in `base`, and the registry that names them.

A codec turns arrays into bytes and back. Where those bytes lie, and who checks them, belongs elsewhere.
"""
