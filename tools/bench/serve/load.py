"""Measure `bep serve` under clients who look at patches.

    python -m tools.bench.serve.load RUN --clients 50 --seconds 60

The tool starts the server and speaks to it as the page does. A client opens a random patch, looks at it for `--look`
seconds, and opens the next one. A view is all that the page asks for when a patch is opened: its facts, then by up to
six connections at a time four pictures, the picture of the patches around it, and the probabilities by the first run.
It lasts from the first request to the last byte of the last answer. Explanations need a click on a button and are no
part of it. The browser's cache plays no role: patches are drawn at random.

Clients and server share the cores, so the answer has the processor time of both for each view, and the load average.

Memory is what the server's processes have for themselves, without the page cache. It counts once the clients have
looked for `--warm-up` seconds, by when threads have started and caches, which are bounded, have been filled: it is flat
if a line fitted through the rest rises by no more than twice the noise around it, or by no more than 1%. Answers count
from the start.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from bigearth_pipeline.errors import PipelineError
from tools.arguments import count, positive, run
from tools.bench.serve.memory import Trend, private_mb

_CONNECTIONS: Final = 6
"""Connections to a host that browsers open for HTTP/1.1."""
_OWN_BANDS: Final = "B11,B08,B02"
"""The fourth picture, where the user has chosen no bands."""
_PATCHES: Final = 2000
"""Patches that clients choose from."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(arguments: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Run `bep serve` on a free port while the block runs; give its process and its address."""
    with tempfile.TemporaryDirectory() as folder:
        verdicts = str(Path(folder) / "verdicts.csv")
        command = [
            sys.executable,
            "-m",
            "bigearth_pipeline",
            "serve",
            *arguments,
            "--port",
            "0",
            "--verdicts",
            verdicts,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                address = server.stdout.readline().strip()
                if not address:
                    raise PipelineError("the server did not start; its message is above")
                yield server.pid, address
            finally:
                server.terminate()


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far (proc_pid_stat(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Client:
    """A person at the page."""

    def __init__(self, session: aiohttp.ClientSession, address: str, about: dict[str, Any]) -> None:
        self._session, self._address = session, address
        self._bands = [each["bands"] for each in about["compositions"]] + [_OWN_BANDS]
        self._runs = bool(about["runs"])

    async def view(self, path: str) -> float:
        """Open a patch, and return the seconds until all of it has come."""
        begin = time.perf_counter()
        await self._get(path)
        asked = [self._get(f"{path}/picture.webp", bands=bands) for bands in self._bands]
        asked.append(self._get(f"{path}/around.webp"))
        if self._runs:
            asked.append(self._get(f"{path}/scores", run="0"))
        await asyncio.gather(*asked)
        return time.perf_counter() - begin

    async def _get(self, path: str, **query: str) -> None:
        async with self._session.get(f"{self._address}api/{path}", params=query) as answer:
            answer.raise_for_status()
            content = await answer.read()
        # WebP container: "RIFF" and the bytes that follow, https://developers.google.com/speed/webp/docs/riff_container
        if answer.content_type == "image/webp" and int.from_bytes(content[4:8], "little") != len(content) - 8:
            raise aiohttp.ClientPayloadError(f"{path} is no whole picture")


async def measure(
    pid: int, address: str, *, clients: int, seconds: float, look: float, warm_up: float
) -> dict[str, Any]:
    """Let clients look at patches, and return what came of it.

    Args:
        pid: of the server.
        address: of the server.
        clients: that look at a time.
        seconds: for which memory counts.
        look: seconds that a client looks at a patch.
        warm_up: seconds before memory counts.

    Returns:
        figures by their names, as JSON values; times in milliseconds, memory in MB.
    """
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}api/about") as answer:
            about = await answer.json()
        keys = await _keys(session, address, about["stores"][0])
        # The network is read from its checkpoint by the first view.
        await Client(session, address, about).view(keys[0])
    times: list[float] = []
    failures: list[str] = []
    memory: list[tuple[float, float]] = []
    begin = time.perf_counter()
    print(f"{clients} clients look at {len(keys)} patches for {warm_up + seconds:g} s", file=sys.stderr)
    before = (processor_seconds(pid), time.process_time())
    end = begin + warm_up + seconds

    async def person(number: int) -> None:
        rng = random.Random(number)
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = Client(session, address, about)
            await asyncio.sleep(rng.random() * look)
            while time.perf_counter() < end:
                try:
                    times.append(await client.view(rng.choice(keys)))
                except (aiohttp.ClientError, TimeoutError) as err:
                    failures.append(repr(err))
                await asyncio.sleep(look)

    async def watch() -> None:
        while time.perf_counter() < end:
            memory.append((time.perf_counter() - begin, private_mb(pid)))
            await asyncio.sleep(0.5)

    await asyncio.gather(watch(), *(person(number) for number in range(clients)))
    passed = time.perf_counter() - begin
    server, own = processor_seconds(pid) - before[0], time.process_time() - before[1]
    trend = Trend.of(*zip(*[each for each in memory if each[0] >= warm_up], strict=True))
    ordered = sorted(times)
    return {
        "clients": clients,
        "seconds": warm_up + seconds,
        "look_s": look,
        "views": len(times),
        "views_per_s": round(len(times) / passed, 1),
        "failures": len(failures),
        "first_failure": failures[0] if failures else None,
        "median_ms": round(1000 * statistics.median(ordered), 1),
        "p95_ms": round(1000 * ordered[int(0.95 * len(ordered))], 1),
        "longest_ms": round(1000 * ordered[-1], 1),
        "server_cpu_ms_per_view": round(1000 * server / len(times), 1),
        "clients_cpu_ms_per_view": round(1000 * own / len(times), 1),
        **trend.figures(),
        "load_average": os.getloadavg()[0],
    }


async def _keys(session: aiohttp.ClientSession, address: str, store: dict[str, Any]) -> list[str]:
    rows = random.Random(0).sample(range(store["patches"]), min(store["patches"], _PATCHES))

    async def path(row: int) -> str:
        async with session.get(f"{address}api/stores/{store['number']}/rows/{row}") as answer:
            return f"patches/{store['source']}/{(await answer.json())['key']}"

    return list(await asyncio.gather(*map(path, rows)))


def main() -> None:
    """Measure by the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run, whose store is beside it or named by --store")
    parser.add_argument("--store", help="folder of a store")
    parser.add_argument("--clients", type=count, default=50)
    parser.add_argument("--seconds", type=positive, default=60.0, help="seconds that they look after the warm-up")
    parser.add_argument("--warm-up", type=positive, default=30.0, help="seconds before memory counts")
    parser.add_argument("--look", type=positive, default=3.0, help="seconds that a client looks at a patch")
    given = parser.parse_args()
    arguments = [given.run, *(["--shards", given.store] if given.store else [])]
    with serving(arguments) as (pid, address):
        options = {"clients": given.clients, "seconds": given.seconds, "look": given.look, "warm_up": given.warm_up}
        found = asyncio.run(measure(pid, address, **options))
    print(json.dumps(found))


if __name__ == "__main__":
    run(main)
