"""Drawing one synthetic patch: regions of land cover, their texture, light, air and sensor noise.

The scene is drawn once at 10 m as weights of a few spectra; 20 m and 60 m bands see its averages over their pixels, so
the resolutions agree as those of one instrument do.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.synth.covers import BARE, CLOUD, COVERS, HAZE, SMOOTH, SNOW, Cover
from shards.layout.bands import B10, GROUPS, RECORD_VALUES

_Array = NDArray[np.float32]

_SIZE: Final = B10.size
_FIELD_SIZE: Final = 128  # A power of two for the FFT; the margin hides that its fields wrap around.
_SLOPES: Final = (2.4, 1.3, 0.6)  # Fall of the amplitude with frequency for SMOOTH, CANOPY and GRAIN.
_REGION_SLOPE: Final = 2.0
_MIN_SHARE: Final = 0.08  # Of a patch that each of its classes covers at least.

# Relative spreads of one class from patch to patch (plant vigour, all bands and each band) and of the light.
_VIGOUR, _TINT, _LIGHT = 0.07, 0.025, 0.07
_RELIEF: Final = 0.05
_READ_NOISE, _SHOT_NOISE = 10.0, 1.05  # Noise variance is read² + shot² × value; sets how well patches compress.


def draw_patch(labels: Sequence[str], rng: np.random.Generator, *, snow: bool, cloud: bool) -> NDArray[np.uint16]:
    """Return the record of a patch, (80000,) uint16, all values above 0 (which is nodata in version 2).

    Args:
        labels: 19-class names; each covers a visible share. Without any the patch is bare ground.
        rng: source of everything that is drawn by chance.
        snow: cover most of the patch with snow.
        cloud: cover part of the patch with cloud.
    """
    covers = [COVERS[label] for label in labels] or [BARE]
    fields = _random_fields(rng, (*_SLOPES, *(_REGION_SLOPE,) * len(covers)))
    textures, region_fields = fields[: len(_SLOPES)], fields[len(_SLOPES) :]
    regions = _divide(region_fields, rng)

    weights = np.zeros((2 * len(covers) + 1, _SIZE, _SIZE), np.float32)
    for i, cover in enumerate(covers):
        inside = (regions == i).astype(np.float32)
        np.multiply(_mix(cover, textures, rng), inside, out=weights[2 * i])
        np.subtract(inside, weights[2 * i], out=weights[2 * i + 1])
    relief = _RELIEF * (textures[SMOOTH] + 0.5 * textures[-1])
    weights *= np.float32(1 + _LIGHT * rng.standard_normal()) * (1 + relief)

    spectra = np.empty((len(weights), len(HAZE)), np.float32)
    spectra[:-1] = np.concatenate([cover.spectra for cover in covers])
    spectra[:-1] *= 1 + _VIGOUR * rng.standard_normal((len(spectra) - 1, 1), np.float32)
    spectra[:-1] *= 1 + _TINT * rng.standard_normal((len(spectra) - 1, len(HAZE)), np.float32)
    spectra[-1] = SNOW if snow else CLOUD
    if snow or cloud:
        veil = np.clip((1.2 if snow else 0.4) + 0.8 * region_fields[0], 0, 0.95)
        weights *= 1 - veil
        weights[-1] = veil

    haze = HAZE * np.float32(max(rng.standard_normal(), -1.0))
    return _observe(weights, spectra, haze, rng)


def _observe(weights: _Array, spectra: _Array, haze: _Array, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the record of a scene of weights (spectra, 120, 120)."""
    at_20m = _average(weights, 2)
    values = np.empty(RECORD_VALUES, np.float32)
    first = 0
    for group, scene in zip(GROUPS, (weights, at_20m, _average(at_20m, 3)), strict=True):
        bands = slice(first, first + len(group.bands))
        # Not a matrix product: a threaded BLAS may round differently from one number of threads to the next.
        seen = np.einsum("mb,mp->bp", spectra[:, bands], scene.reshape(len(scene), -1))
        seen += haze[bands, None]
        values[group.slice] = seen.ravel()
        first = bands.stop
    noise = rng.standard_normal(RECORD_VALUES, np.float32)
    noise *= np.sqrt(_READ_NOISE**2 + _SHOT_NOISE**2 * np.maximum(values, 0))
    values += noise
    return np.clip(np.rint(values, out=values), 1, 10_000, out=values).astype(np.uint16)


def _divide(fields: _Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Divide a patch into as many regions as there are fields, (120, 120) region numbers.

    Each region in turn takes the highest places of its field among those left: outlines as smooth as the field, and
    an area that is known beforehand.
    """
    num = len(fields)
    shares = _MIN_SHARE + (1 - num * _MIN_SHARE) * rng.dirichlet(np.full(num, 1.5))
    regions = np.full(_SIZE * _SIZE, num - 1)
    taken = np.zeros(_SIZE * _SIZE, bool)
    for i in range(num - 1):
        height = np.where(taken, -np.inf, fields[i].ravel())
        count = round(shares[i] * height.size)
        places = np.argpartition(height, -count)[-count:]
        regions[places] = i
        taken[places] = True
    return regions.reshape(_SIZE, _SIZE)


def _mix(cover: Cover, textures: _Array, rng: np.random.Generator) -> _Array:
    """Return the part of a cover's first spectrum in each pixel, (120, 120) in [0, 1]."""
    middle = _parcels(cover.parcel, rng) if cover.parcel else np.float32(0.5)
    mix: _Array = np.clip(middle + np.float32(cover.contrast) * textures[cover.texture], 0, 1)
    return mix


def _parcels(side: int, rng: np.random.Generator) -> _Array:
    """Return values in [0, 1] that are constant within oblong fields laid like bricks at a random angle, (120, 120)."""
    angle, length, width = rng.random(3) * (np.pi, 1.0, 0.4) + (0.0, 1.0, 0.8)
    along, across = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    y, x = np.ogrid[0 : np.float32(_SIZE), 0 : np.float32(_SIZE)]
    rows = np.floor((y * along - x * across) / np.float32(side * width)).astype(np.intp) & 127
    shifts = rng.random(128, np.float32)
    columns = np.floor((x * along + y * across) / np.float32(side * length) + shifts[rows]).astype(np.intp) & 127
    values: _Array = rng.random((128, 128), np.float32)[rows, columns]
    return values


def _random_fields(rng: np.random.Generator, slopes: tuple[float, ...]) -> _Array:
    """Return random fields of unit variance, (slopes, 120, 120): white noise, filtered to frequency^-slope."""
    noise = rng.standard_normal((len(slopes), _FIELD_SIZE, _FIELD_SIZE), np.float32)
    spectrum = np.fft.rfft2(noise)
    for plane, slope in zip(spectrum, slopes, strict=True):
        plane *= _power_law(slope)
    fields = np.fft.irfft2(spectrum, s=noise.shape[1:])[:, :_SIZE, :_SIZE]
    return fields.astype(np.float32, copy=False)


@cache
def _power_law(slope: float) -> _Array:
    """Return frequency^-slope, the half of it that a real FFT needs, (128, 65); white noise keeps its variance."""
    rows, columns = np.ogrid[:_FIELD_SIZE, :_FIELD_SIZE]
    frequency = np.hypot(np.minimum(rows, _FIELD_SIZE - rows), np.minimum(columns, _FIELD_SIZE - columns))
    frequency[0, 0] = np.inf
    gain = frequency**-slope
    gain /= np.sqrt(np.mean(gain**2))
    half: _Array = gain[:, : _FIELD_SIZE // 2 + 1].astype(np.float32)
    return half


def _average(scene: _Array, factor: int) -> _Array:
    """Return the means of blocks of factor × factor pixels."""
    blocks = [scene[:, i::factor, j::factor] for i in range(factor) for j in range(factor)]
    means: _Array = np.add.reduce(blocks) / np.float32(len(blocks))
    return means
