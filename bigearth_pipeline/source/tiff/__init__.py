"""Band files: the short way for plain TIFFs, and GDAL for all others."""
