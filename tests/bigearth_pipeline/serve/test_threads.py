"""Threads of the server, and the pauses of its collector."""

import ctypes
import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from bigearth_pipeline.serve.contents.collector import spare, spared
from bigearth_pipeline.serve.routes.aside import aside
from tests.bigearth_pipeline.serve.conftest import apart


def test_handlers_that_wait_leave_the_threads_of_others_alone() -> None:
    """Pictures and tiles stand still while explanations are computed, or those that wait take ever more threads."""
    may_end, names = threading.Event(), set()

    @aside(2)
    def waits(number: int, *, twice: int) -> int:
        names.add(threading.get_ident())
        assert may_end.wait(30)
        return number * twice

    async def all_of_them() -> list[int]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        found: list[int] = []

        async def ask(number: int) -> None:
            found.append(await waits(number, twice=2))

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(ask, number)
            while len(names) < 2:
                await anyio.sleep(0.001)
            assert await anyio.to_thread.run_sync(lambda: "other") == "other"
            may_end.set()
        return sorted(found)

    assert apart(all_of_them) == [0, 2, 4, 6, 8, 10]
    assert len(names) == 2


def test_the_server_computes_in_few_threads() -> None:
    """As many threads compute as the library has by itself, and memory grows with them."""
    uvicorn = pytest.importorskip("uvicorn")
    from bigearth_pipeline.serve import server
    from bigearth_pipeline.serve.contents.stopping import Stopping

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing."""

    async def tokens() -> float:
        running = server._Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"), Stopping())
        running.config.load()
        running.lifespan = running.config.lifespan_class(running.config)
        await running.startup()
        await running.shutdown()
        return anyio.to_thread.current_default_thread_limiter().total_tokens

    assert apart(tokens) == server._THREADS


_HEAPS = """
import ctypes, re, sys, threading
from bigearth_pipeline.serve.arenas import limit_arenas
if sys.argv[2] == "limited":
    limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
all_there = threading.Barrier(6)
def work():
    libc.malloc(ctypes.c_size_t(1000))
    all_there.wait(30)
threads = [threading.Thread(target=work) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(len(re.findall("<heap nr", open(sys.argv[1]).read())))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
def test_threads_share_memory(tmp_path: Path) -> None:
    """Each thread has memory of its own in the C library, which the others cannot use once it is free."""
    command = [sys.executable, "-c", _HEAPS, str(tmp_path / "heaps.xml")]
    found = [int(subprocess.check_output([*command, how])) for how in ("limited", "as it is")]
    assert found[0] <= 2 < found[1]


def test_collections_look_at_no_object_of_before() -> None:
    """A full collection looks at all objects of the libraries and stops the server meanwhile; or garbage stays."""
    held = [[i] for i in range(1000)]
    with spared():
        assert gc.get_freeze_count() > 1000
        circle: list[Any] = []
        circle.append(circle)
        del circle
        assert gc.collect() > 0
        before = gc.get_freeze_count()
        held += [[i] for i in range(2000)]
        spare()
        assert gc.get_freeze_count() >= before + 1000
    assert gc.get_freeze_count() == 0
