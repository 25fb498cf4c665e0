"""Record codecs: one file a codec, and the registry that names them."""
