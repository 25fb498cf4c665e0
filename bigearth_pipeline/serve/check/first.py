"""The run and the store that the check of labels begins with."""

from bigearth_pipeline.serve.contents.contents import Contents
from shards.errors import BepError


def first_predicted(contents: Contents, store: int | None = None, run: int | None = None) -> tuple[int, int] | None:
    """Return the numbers of the first run with predictions on a store that is shown, and of that store; None for none.

    Args:
        contents: what the server shows.
        store: the only store to consider; None for all.
        run: the only run to consider; None for all.
    """
    for each in contents.runs if run is None else (contents.run(run),):
        for place in contents.stores if store is None else (contents.store(store),):
            try:
                found = each.predicted(place)
            except (BepError, OSError):
                # The page says more of damaged predictions where they are chosen.
                continue
            if found is not None:
                return each.number, place.number
    return None
