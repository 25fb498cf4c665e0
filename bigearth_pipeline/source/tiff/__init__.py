"""Band files: the short way for plain TIFFs, GDAL for all others; `ahead` reads patches before they are used."""
