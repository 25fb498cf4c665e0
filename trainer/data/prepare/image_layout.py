"""Images that a batch consists of."""

from dataclasses import dataclass

from shards.errors import InvalidValue
from shards.layout.bands import GROUPS
from trainer.data.bands import BandSelection
from trainer.data.batch import IMAGE_SIZE, Layout


@dataclass(frozen=True, slots=True)
class Image:
    """One of the images that are made of a patch.

    Attributes:
        name: its name in a batch.
        bands: names of its bands, in channel order.
        channels: channels of these bands among all that are selected.
        size: side in pixels.
    """

    name: str
    bands: tuple[str, ...]
    channels: tuple[int, ...]
    size: int


def images_of(bands: tuple[str, ...], layout: Layout) -> tuple[Image, ...]:
    """Return the images of a layout: one if it is `stacked`, one for each group with a band if it is `native`.

    Args:
        bands: names of the selected bands, in channel order.
        layout: as in `Batch`.

    Raises:
        ValueError: the layout is `record`.
    """
    if layout == "record":
        raise InvalidValue("layout record has nothing to prepare, expected stacked or native")
    if layout == "stacked":
        return (Image("image", bands, tuple(range(len(bands))), IMAGE_SIZE),)
    selection = BandSelection(bands)
    sizes = {group.name: group.size for group in GROUPS}
    return tuple(
        Image(name, names, tuple(selection.channels(names)), sizes[name])
        for name, names in selection.by_group().items()
    )
