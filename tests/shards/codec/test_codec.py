"""The record codecs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.codec.base import Codec
from shards.codec.registry import CODECS, get_codec, record_decoder
from shards.errors import CorruptShard
from shards.layout.bands import RECORD_VALUES
from tests.support.strategies import records

codecs = st.sampled_from(list(CODECS.values()))


@settings(deadline=None)  # The first example compiles.
@given(records(), codecs)
def test_decode_inverts_encode(record: np.ndarray, codec: Codec) -> None:
    """A record changes on its way through the store."""
    out = np.empty(RECORD_VALUES, np.uint16)
    codec.decode_into(codec.encode(record), out)
    np.testing.assert_array_equal(out, record)


@given(records(), codecs, st.data())
def test_a_shortened_encoding_is_an_error(record: np.ndarray, codec: Codec, data: st.DataObject) -> None:
    """A record that was cut off decodes to wrong pixels, or crashes the decoder."""
    encoded = codec.encode(record)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CorruptShard):
        codec.decode_into(encoded[:cut], np.empty(RECORD_VALUES, np.uint16))


@given(st.binary(max_size=400), codecs)
def test_garbage_is_an_error(garbage: bytes, codec: Codec) -> None:
    """Bytes that are no encoding crash the decoder."""
    with pytest.raises(CorruptShard):
        codec.decode_into(garbage, np.empty(RECORD_VALUES, np.uint16))


def test_a_record_of_another_size_is_an_error() -> None:
    """An encoding of other values than expected leaves part of the output unset, or is written behind its end."""
    for codec in CODECS.values():
        with pytest.raises(CorruptShard, match="expected"):
            codec.decode_into(codec.encode(np.zeros(RECORD_VALUES, np.uint16)), np.empty(RECORD_VALUES // 2, np.uint16))
        with pytest.raises(CorruptShard, match="expected"):
            codec.decode_into(codec.encode(np.zeros(RECORD_VALUES, np.uint16)), np.empty(RECORD_VALUES + 1, np.uint16))


def test_unknown_codec_names_the_known_ones() -> None:
    """A misspelt codec gives no hint."""
    with pytest.raises(ValueError, match="blosc-lz4"):
        get_codec("lz5")


def test_record_decoder_leaves_other_members_to_webdataset() -> None:
    """The webdataset decoder swallows members that are not its own."""
    decode = record_decoder("raw")
    assert decode("key.json", b"{}") is None
    np.testing.assert_array_equal(decode("key.labels", bytes([0, 1])), [0, 1])
