"""Times calls of tensord.aio and convert_many beside blocking ones.

    build/venv/bin/python tests/bench/aio_calls.py [--rounds N]

Every way makes the same calls to the same server, one way after the other in
every round. Figures are medians of the rounds, in calls per second; ratios are
of the same rounds.
"""

import argparse
import asyncio
import concurrent.futures
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import numpy as np
import tensord
import tensord.aio

SERVER = pathlib.Path(__file__).parents[2] / "build/release/bin/tensord"
THREADS = 16
AT_ONCE = 64
# Elements of an array, and how many calls a round makes.
SIZES = {"1 KiB": (256, 2000), "64 KiB": (16384, 1000), "4 MiB": (1 << 20, 60)}


class Server:
    def __enter__(self):
        self._log = tempfile.NamedTemporaryFile()
        self._process = subprocess.Popen(
            [SERVER, "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"],
            stderr=self._log,
        )
        path = pathlib.Path(self._log.name)
        while not (
            ready := re.search(r"listening on (\S+)", path.read_text())
        ):
            time.sleep(0.01)
        return ready[1]

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()


def one_after_the_other(client, array, count):
    for _ in range(count):
        client.convert(array, "float16")


def on_threads(client, array, count):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        calls = [
            pool.submit(client.convert, array, "float16") for _ in range(count)
        ]
        for call in calls:
            call.result()


async def awaited(target, array, count):
    async with await tensord.aio.connect(target) as client:
        left = iter(range(count))

        async def convert():
            for _ in left:
                await client.convert(array, "float16")

        start = time.perf_counter()
        await asyncio.gather(*(convert() for _ in range(AT_ONCE)))
        return time.perf_counter() - start


def many(client, array, count):
    client.convert_many([array] * count, "float16")


def timed(work, *arguments):
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(
        "| array | blocking | on 16 threads | asyncio | convert_many "
        "| asyncio to blocking | to threads | convert_many to blocking |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with Server() as target, tensord.connect(target) as client:
        for name, (elements, count) in SIZES.items():
            array = np.arange(elements, dtype=np.float32)
            seconds = []
            for _ in range(rounds):
                seconds.append(
                    (
                        timed(one_after_the_other, client, array, count),
                        timed(on_threads, client, array, count),
                        asyncio.run(awaited(target, array, count)),
                        timed(many, client, array, count),
                    )
                )
            rates = [count / statistics.median(way) for way in zip(*seconds)]
            ratios = [
                statistics.median(one[old] / one[new] for one in seconds)
                for old, new in ((0, 2), (1, 2), (0, 3))
            ]
            cells = [f"{rate:.0f}/s" for rate in rates]
            cells += [f"{ratio:.2f}" for ratio in ratios]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
