"""Bands of Sentinel-2 by wavelength."""

from typing import Final, NamedTuple


class Spectrum(NamedTuple):
    """Use of a band, its central wavelength on Sentinel-2A in nm, and its common name in STAC's extension eo."""

    use: str
    nanometres: int
    common_name: str


SPECTRUM: Final = {
    "B01": Spectrum("coastal aerosol", 443, "coastal"),
    "B02": Spectrum("blue", 492, "blue"),
    "B03": Spectrum("green", 560, "green"),
    "B04": Spectrum("red", 665, "red"),
    "B05": Spectrum("red edge", 704, "rededge071"),
    "B06": Spectrum("red edge", 740, "rededge075"),
    "B07": Spectrum("red edge", 783, "rededge078"),
    "B08": Spectrum("near infrared", 833, "nir"),
    "B8A": Spectrum("near infrared", 865, "nir08"),
    "B09": Spectrum("water vapour", 945, "nir09"),
    "B11": Spectrum("short-wave infrared", 1614, "swir16"),
    "B12": Spectrum("short-wave infrared", 2202, "swir22"),
}
"""By band, in the order of wavelengths (ESA, Sentinel-2 MSI spectral responses; STAC extension eo 2.0.0)."""
