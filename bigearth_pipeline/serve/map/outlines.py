"""Land and borders of Europe as GeoJSON (RFC 7946), from the outlines in the package."""

import json
from functools import cache

import numpy as np

from bigearth_pipeline.report.figure.europe import europe_in_degrees


@cache
def outlines() -> bytes:
    """Return a GeoJSON file: a multi-polygon of land and a multi-line of borders, by their property `kind`."""
    found = europe_in_degrees()
    land = [[np.round(ring, 2).tolist()] for ring in found.land if len(ring) > 3]
    borders = [np.round(line, 2).tolist() for line in found.borders]
    features = [
        {"type": "Feature", "properties": {"kind": kind}, "geometry": {"type": geometry, "coordinates": coordinates}}
        for kind, geometry, coordinates in (("land", "MultiPolygon", land), ("border", "MultiLineString", borders))
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")).encode()
