"""Bands that a model sees."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import BANDS, RECORD_VALUES
from shards.layout.bands import BAND_SLICES, GROUP_OF
from trainer.data.bands import BAND_SETS, BandSelection, runs

selections = st.permutations(BANDS).flatmap(
    lambda bands: st.integers(1, len(bands)).map(lambda count: tuple(bands[:count]))
)


@pytest.mark.parametrize("name", BAND_SETS)
def test_sets_have_names(name: str) -> None:
    """`--bands rgb` gives other bands than the set has."""
    assert BandSelection.parse(name).names == BAND_SETS[name]


@given(selections, st.sampled_from([",", ", ", " ,"]))
def test_lists_keep_their_order(names: tuple[str, ...], comma: str) -> None:
    """Channels come in another order than the bands were listed in."""
    assert BandSelection.parse(comma.join(names)).names == names


def test_the_papers_set_leaves_out_the_60_m_bands() -> None:
    """Runs with `s2-10` are not comparable with the published ones."""
    assert set(BANDS) - set(BAND_SETS["s2-10"]) == {"B01", "B09"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("B10", "no band 'B10'; there are B01, B02, .*, and the sets all, s2-10"),
        ("RGB", "no band 'RGB', perhaps rgb; there are"),
        ("B04,B3", "no band 'B3', perhaps B03; there are"),
        ("B8", "no band 'B8', perhaps B08; there are"),
        ("b8a", "no band 'b8a', perhaps B8A; there are"),
        ("rgb_nir", "no band 'rgb_nir', perhaps rgb-nir; there are"),
        ("VV", "no band 'VV'; there are"),
        ("B02,,B03", "no band ''"),
        ("", "no band ''"),
        ("B02,B03,B02", "band B02 is selected twice"),
    ],
)
def test_wrong_bands_are_refused(text: str, message: str) -> None:
    """A typing error in `--bands` passes unseen or ends in an error that does not name it."""
    with pytest.raises(ValueError, match=message):
        BandSelection.parse(text)


def test_no_band_is_refused() -> None:
    """A model without channels is built."""
    with pytest.raises(ValueError, match="no band is selected"):
        BandSelection(())


@given(selections)
def test_groups_hold_each_band_once(names: tuple[str, ...]) -> None:
    """A band is lost, or comes in the group of another resolution, or an empty group is there."""
    selection = BandSelection(names)
    groups = selection.by_group()
    assert all(groups.values())
    assert all(GROUP_OF[band].name == group for group, bands in groups.items() for band in bands)
    for group, bands in groups.items():
        assert bands == tuple(band for band in names if GROUP_OF[band].name == group)
        assert [names[channel] for channel in selection.channels(bands)] == list(bands)
    assert sum(map(len, groups.values())) == len(selection) == len(names)


def test_channels_of_an_unselected_band_are_refused() -> None:
    """The channel of another band is taken for one that is absent."""
    with pytest.raises(ValueError, match="not in tuple"):
        BandSelection(("B02", "B03")).channels(["B01"])


@given(selections)
def test_runs_are_slices_of_the_record(names: tuple[str, ...]) -> None:
    """A slice of the record holds other bands than its run says, or runs are cut where one slice would do."""
    record = np.arange(RECORD_VALUES)
    found = runs(names)
    slices = [record[BAND_SLICES[run[0]].start : BAND_SLICES[run[-1]].stop] for run in found]
    np.testing.assert_array_equal(np.concatenate(slices), np.concatenate([record[BAND_SLICES[n]] for n in names]))
    assert tuple(name for run in found for name in run) == names
    for run, following in pairwise(found):
        joins = BAND_SLICES[run[-1]].stop == BAND_SLICES[following[0]].start
        assert not joins or GROUP_OF[run[-1]] is not GROUP_OF[following[0]]


def test_all_bands_are_one_run_a_group() -> None:
    """The usual case costs a copy for each band."""
    assert [len(run) for run in runs(BANDS)] == [4, 6, 2]
