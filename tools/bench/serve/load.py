"""Measure `bep serve` under clients who look at patches.

    python -m tools.bench.serve.load RUN --clients 50 --seconds 60

The tool starts the server and speaks to it as the page does. A client opens a random patch, looks at it for `--look`
seconds, and opens the next one. A view is all that the page asks for when a patch is opened: its facts, then by up to
six connections at a time four pictures, the picture of the patches around it, and the probabilities by the first run.
It lasts from the first request to the last byte of the last answer. Explanations need a click on a button and are no
part of it. The browser's cache plays no role: patches are drawn at random.

Clients and server share the cores, so the answer has the processor time of both for each view, and the load average.
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

_CONNECTIONS: Final = 6
"""Connections to a host that browsers open for HTTP/1.1."""
_OWN_BANDS: Final = "B11,B08,B02"
"""The fourth picture, where the user has chosen no bands."""
_PATCHES: Final = 2000
"""Patches that clients choose from."""
_SETTLED: Final = 0.25
"""Share of the time after which memory counts as settled: caches have been filled."""
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


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


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


async def measure(pid: int, address: str, clients: int, seconds: float, look: float) -> dict[str, Any]:
    """Let clients look at patches for some seconds, and return what came of it; times in milliseconds."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}api/about") as answer:
            about = await answer.json()
        keys = await _keys(session, address, about["stores"][0])
        # The network is read from its checkpoint by the first view.
        await Client(session, address, about).view(keys[0])
    times: list[float] = []
    failures: list[str] = []
    memory: list[float] = []
    begin = time.perf_counter()
    print(f"{clients} clients look at {len(keys)} patches for {seconds:g} s", file=sys.stderr)
    before = (processor_seconds(pid), time.process_time())
    end = begin + seconds

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
            memory.append(resident_mb(pid))
            await asyncio.sleep(0.5)

    await asyncio.gather(watch(), *(person(number) for number in range(clients)))
    passed = time.perf_counter() - begin
    server, own = processor_seconds(pid) - before[0], time.process_time() - before[1]
    settled = memory[int(_SETTLED * len(memory)) :]
    ordered = sorted(times)
    return {
        "clients": clients,
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
        "memory_settled_mb": round(settled[0], 1),
        "memory_end_mb": round(settled[-1], 1),
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
    parser.add_argument("--seconds", type=positive, default=60.0)
    parser.add_argument("--look", type=positive, default=3.0, help="seconds that a client looks at a patch")
    given = parser.parse_args()
    arguments = [given.run, *(["--store", given.store] if given.store else [])]
    with serving(arguments) as (pid, address):
        found = asyncio.run(measure(pid, address, given.clients, given.seconds, given.look))
    print(json.dumps(found))


if __name__ == "__main__":
    run(main)
