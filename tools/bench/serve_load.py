"""Measure `bep serve` under clients who look at patches: python -m tools.bench.serve_load ADDRESS [CLIENTS] [SECONDS].

A client opens a patch as the page does, that is facts, three pictures, and probabilities where there is a run, then
looks at it for a second. Answers are timed from the first request of a view to its last byte.
"""

import argparse
import asyncio
import json
import random
import time
from statistics import median
from typing import Final

import httpx

from tools.arguments import count, positive, run

LOOK_SECONDS: Final = 1.0
_BANDS: Final = ("B04,B03,B02", "B08,B04,B03", "B12,B8A,B04")


async def _view(client: httpx.AsyncClient, address: str, keys: list[str], runs: int, rng: random.Random) -> float:
    key = rng.choice(keys)
    paths = [f"patches/s0/{key}", *(f"patches/s0/{key}/picture.png?bands={bands}" for bands in _BANDS)]
    paths += [f"patches/s0/{key}/scores?run=0"] if runs else []
    begin = time.perf_counter()
    for answer in await asyncio.gather(*(client.get(f"{address}api/{path}") for path in paths)):
        answer.raise_for_status()
    return time.perf_counter() - begin


async def measure(address: str, clients: int, seconds: float) -> dict[str, float]:
    """Return views, failures, and the median and 95th percentile of their times in milliseconds."""
    limits = httpx.Limits(max_connections=6 * clients)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        about = (await client.get(f"{address}api/about")).json()
        total = about["stores"][0]["patches"]
        rows = random.Random(0).sample(range(total), min(total, 2000))
        keys = [(await client.get(f"{address}api/stores/0/rows/{row}")).json()["key"] for row in rows]
        times: list[float] = []
        failures = 0
        end = time.perf_counter() + seconds

        async def look(number: int) -> None:
            nonlocal failures
            rng = random.Random(number)
            await asyncio.sleep(rng.random() * LOOK_SECONDS)
            while time.perf_counter() < end:
                try:
                    times.append(await _view(client, address, keys, len(about["runs"]), rng))
                except httpx.HTTPError:
                    failures += 1
                await asyncio.sleep(LOOK_SECONDS)

        await asyncio.gather(*(look(number) for number in range(clients)))
    ordered = sorted(times)
    return {
        "clients": clients,
        "views": len(times),
        "failures": failures,
        "median_ms": round(1000 * median(ordered), 1),
        "p95_ms": round(1000 * ordered[int(0.95 * len(ordered))], 1),
    }


def main() -> None:
    """Measure by the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of the server, such as http://127.0.0.1:8765/")
    parser.add_argument("clients", type=count, nargs="?", default=50)
    parser.add_argument("seconds", type=positive, nargs="?", default=60.0)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(measure(given.address, given.clients, given.seconds))))


if __name__ == "__main__":
    run(main)
