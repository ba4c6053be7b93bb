"""``tensorctl bench``: how fast this server is, from here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._completion import complete_devices, completed
from tensord.tensorctl._exit import usage_error
from tensord.tensorctl._output import note, write_json, write_table
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import (
    format_count,
    format_latency,
    format_size,
    parse_count,
    parse_size,
)

if TYPE_CHECKING:
    import numpy as np

    from tensord import Client, RemoteTensor

_DESCRIPTION = """\
Measures the server over this connection, one call at a time: the latencies of
small calls, and how fast arrays are uploaded, downloaded and converted.

Everything is done once before it is measured. Then, round after round, each
measurement is made once, so that whatever disturbs the machine disturbs all
of them; the figures are medians over the rounds, with the slowest and the
fastest. Latency percentiles are of all calls of all rounds. What it stores
has no names, is deleted at the end, and otherwise expires.
"""

_DEFAULT_SIZES = "64KiB,1MiB,16MiB,64MiB"
_CALLS_PER_ROUND = 200
# Small arrays are moved many times in a round, to be measured at all.
_BYTES_PER_ROUND = 16 << 20
_MOST_REPEATS = 64
# For what is left behind where this process is killed.
_TTL_SECONDS = 600.0


def _sizes(text: str) -> list[int]:
    return [parse_size(part) for part in text.split(",")]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=_sizes(_DEFAULT_SIZES),
        metavar="SIZE,...",
        help=f"bytes of the arrays that are moved (default: {_DEFAULT_SIZES})",
    )
    parser.add_argument(
        "--rounds",
        type=parse_count,
        default=5,
        metavar="N",
        help="how often each measurement is made (default: 5)",
    )
    completed(
        parser.add_argument(
            "--device", metavar="DEVICE", help="where tensors are put"
        ),
        complete_devices,
    )


class _Calls(NamedTuple):
    """A small call, made many times in a round."""

    name: str
    call: Callable[[], object]


class _Transfer(NamedTuple):
    """An array that travels."""

    name: str
    size_bytes: int
    call: Callable[[], object]


class _Measured(NamedTuple):
    """Seconds of calls, by round."""

    rounds: list[list[float]]

    def add(self, call: Callable[[], object], times: int) -> None:
        """Makes a call so many times, as one more round."""
        seconds = []
        for _ in range(times):
            started = time.perf_counter()
            made = call()
            seconds.append(time.perf_counter() - started)
            # A tensor goes with its handle, which is not to be measured.
            del made
        self.rounds.append(seconds)

    def rates(self) -> list[float]:
        """Calls per second, by round."""
        return [len(one) / sum(one) for one in self.rounds]

    def percentiles(self, *which: int) -> list[float]:
        """Of all calls, in seconds."""
        from statistics import quantiles

        every = [second for one in self.rounds for second in one]
        cuts = quantiles(every, n=100, method="inclusive")
        return [cuts[percent - 1] for percent in which]


def _small_calls(client: Client, device: str | None) -> Iterator[_Calls]:
    import numpy as np

    array = np.zeros(16, np.float32)
    tensor = client.tensor(array, device=device, ttl=_TTL_SECONDS)

    def create_and_delete() -> None:
        client.tensor(array, device=device, ttl=_TTL_SECONDS).delete()

    yield _Calls("describe", lambda: client[tensor.id])
    yield _Calls("read 64 B", lambda: tensor.numpy(force=True))
    yield _Calls("create and delete 64 B", create_and_delete)


def _noise(size_bytes: int) -> np.ndarray:
    """Floats as they come in tensors: none of them zero or the same."""
    import numpy as np

    count = max(1, size_bytes // 4)
    return np.random.default_rng(0).standard_normal(count, np.float32)


def _transfers(
    client: Client, sizes: Sequence[int], device: str | None
) -> Iterator[_Transfer]:
    for size_bytes in sizes:
        yield from _transfers_of(client, _noise(size_bytes), device)


def _transfers_of(
    client: Client, array: np.ndarray, device: str | None
) -> Iterator[_Transfer]:
    import numpy as np

    def upload() -> RemoteTensor:
        return client.tensor(array, device=device, ttl=_TTL_SECONDS)

    tensor = upload()
    # Received memory that is new would be measured with it.
    out = np.empty_like(array)
    yield _Transfer("upload float32", array.nbytes, upload)
    yield _Transfer(
        "download float32",
        array.nbytes,
        lambda: tensor.numpy(force=True, out=out),
    )
    yield _Transfer(
        "convert float32 to bfloat16",
        array.nbytes,
        lambda: client.convert(array, "bfloat16"),
    )


def _repeats(size_bytes: int) -> int:
    return max(1, min(_MOST_REPEATS, _BYTES_PER_ROUND // size_bytes))


def _measure(
    calls: Sequence[_Calls], transfers: Sequence[_Transfer], rounds: int
) -> dict[int, _Measured]:
    """Seconds, by the place in `calls` and `transfers` one after the other."""
    plan = [(one.call, _CALLS_PER_ROUND) for one in calls]
    plan += [(one.call, _repeats(one.size_bytes)) for one in transfers]
    for call, _ in plan:
        call()
    measured = {place: _Measured([]) for place in range(len(plan))}
    for _ in range(rounds):
        for place, (call, times) in enumerate(plan):
            measured[place].add(call, times)
    return measured


def _call_facts(calls: _Calls, measured: _Measured) -> dict[str, Any]:
    from statistics import median

    rates = measured.rates()
    p50, p90, p99 = measured.percentiles(50, 90, 99)
    return {
        "call": calls.name,
        "calls_per_second": median(rates),
        "slowest_round": min(rates),
        "fastest_round": max(rates),
        "p50_seconds": p50,
        "p90_seconds": p90,
        "p99_seconds": p99,
    }


def _transfer_facts(
    transfer: _Transfer, measured: _Measured
) -> dict[str, Any]:
    from statistics import median

    rates = [transfer.size_bytes * rate for rate in measured.rates()]
    return {
        "transfer": transfer.name,
        "size_bytes": transfer.size_bytes,
        "bytes_per_second": median(rates),
        "slowest_round": min(rates),
        "fastest_round": max(rates),
    }


def _write_tables(facts: dict[str, Any]) -> None:
    print(
        f"tensord {facts['version']} at {facts['target']}; medians of "
        f"{facts['rounds']} rounds, one call at a time\n"
    )
    write_table(
        ("SMALL CALLS", "CALLS/S", "SLOWEST", "FASTEST", "P50", "P90", "P99"),
        [
            [
                one["call"],
                *(
                    format_count(one[key])
                    for key in (
                        "calls_per_second",
                        "slowest_round",
                        "fastest_round",
                    )
                ),
                *(
                    format_latency(one[f"p{percent}_seconds"])
                    for percent in (50, 90, 99)
                ),
            ]
            for one in facts["calls"]
        ],
        right="lrrrrrr",
    )
    print()
    write_table(
        ("TRANSFERS", "SIZE", "PER SECOND", "SLOWEST", "FASTEST"),
        [
            [
                one["transfer"],
                *(
                    format_size(one[key])
                    for key in (
                        "size_bytes",
                        "bytes_per_second",
                        "slowest_round",
                        "fastest_round",
                    )
                ),
            ]
            for one in facts["transfers"]
        ],
        right="lrrrr",
    )


def _run(args: argparse.Namespace, session: Session) -> None:
    client = session.client
    info = client.server_info()
    if max(args.sizes) > info.max_tensor_bytes:
        raise usage_error(
            f"--sizes has {format_size(max(args.sizes))}, but the server's "
            f"largest tensor is {format_size(info.max_tensor_bytes)}"
        )
    if not session.quiet and not session.json:
        note(f"measuring {args.rounds} rounds ...")
    calls = [*_small_calls(client, args.device)]
    transfers = [*_transfers(client, args.sizes, args.device)]
    measured = _measure(calls, transfers, args.rounds)
    facts = {
        "target": session.target,
        "version": info.version,
        "rounds": args.rounds,
        "calls": [
            _call_facts(one, measured[place])
            for place, one in enumerate(calls)
        ],
        "transfers": [
            _transfer_facts(one, measured[place])
            for place, one in enumerate(transfers, len(calls))
        ],
    }
    if session.json:
        write_json(facts)
    else:
        _write_tables(facts)


COMMAND = Command(
    "bench",
    "the server",
    "measure small calls, transfers and conversions",
    _DESCRIPTION,
    (
        Example("tensorctl bench", "a few seconds of measuring"),
        Example(
            "tensorctl bench --sizes 256MiB --rounds 9", "large arrays only"
        ),
        Example(
            "tensorctl bench --json | jq '.transfers[].bytes_per_second'",
            "for a script",
        ),
    ),
    _add_arguments,
    _run,
)
