"""Decompression in a thread of its own, a bounded number of pieces ahead of what takes them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Final

_AHEAD: Final = 16  # pieces
_POLL_SECONDS: Final = 0.1


@contextmanager
def ahead(chunks: Iterator[memoryview], stop: Callable[[], object] = lambda: None) -> Iterator[Iterator[memoryview]]:
    """Take chunks from an iterator in another thread, and give them and its error to the block.

    The thread has ended when the block has.

    Args:
        chunks: are taken one by one.
        stop: called where the block ends with an error; ends a wait for the next chunk.
    """
    queue: Queue[memoryview | BaseException | None] = Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: memoryview | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=_POLL_SECONDS)
                return
            except Full:
                continue

    def work() -> None:
        try:
            for chunk in chunks:
                put(chunk)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as err:
            put(err)

    def taken() -> Iterator[memoryview]:
        while True:
            try:
                item = queue.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, name="bep-decompress", daemon=True)
    thread.start()
    try:
        yield taken()
    except BaseException:
        stop()
        raise
    finally:
        stopped.set()
        thread.join()
