"""``tensorctl top``: what a server is doing, from its metrics."""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tensord.tensorctl import _metrics
from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._metrics import Snapshot
from tensord.tensorctl._output import table_lines
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import (
    format_count,
    format_latency,
    format_size,
    parse_count,
    parse_duration,
)

_DESCRIPTION = """\
Shows what the server is doing, from its Prometheus metrics: calls and errors
by method, latencies, bytes, tensors and memory. Rates are of the time between
two looks. Latencies are estimated from histograms, as Prometheus does, and
only as fine as these.

On a terminal the picture is drawn anew each time, until Ctrl-C; elsewhere a
line is printed each time, or with --json an object, one a line.
"""

_DEFAULT_PORT = 9464
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_NAP_SECONDS = 0.1
_LATENCY = "grpc_server_handling_seconds"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics",
        metavar="URL",
        help="where the metrics are (default: http://HOST:"
        f"{_DEFAULT_PORT}/metrics, with the host of the target)",
    )
    parser.add_argument(
        "--interval",
        type=parse_duration,
        default=2.0,
        metavar="TIME",
        help="between two looks (default: 2s)",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--count",
        type=parse_count,
        metavar="N",
        help="show this many times, and end",
    )
    group.add_argument(
        "--once",
        action="store_true",
        help="show once, and end: --count 1",
    )


def metrics_url(target: str) -> str:
    """Where a server's metrics are, as long as nobody says otherwise.

    Of a Unix socket, on this host.
    """
    host = "localhost"
    if not target.startswith("unix:"):
        # gRPC's schemes, such as dns:///host:port.
        host = urlsplit(f"//{target.rpartition('/')[2]}").hostname or host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{_DEFAULT_PORT}/metrics"


def _method_facts(grown: Snapshot, method: str) -> dict[str, Any]:
    """What became of the calls of one method, for each second."""
    labels = {"grpc_method": method}
    handled = grown.total("grpc_server_handled_total", **labels)
    ok = grown.total("grpc_server_handled_total", grpc_code="OK", **labels)
    latency = _metrics.buckets(grown, _LATENCY, **labels).items()

    def rate(name: str) -> float:
        return grown.total(name, **labels) / grown.seconds

    return {
        "method": method,
        "calls_per_second": handled / grown.seconds,
        "errors_per_second": (handled - ok) / grown.seconds,
        "received_bytes_per_second": rate("tensord_call_received_bytes_total"),
        "sent_bytes_per_second": rate("tensord_call_sent_bytes_total"),
        "p50_seconds": _seconds(0.5, latency),
        "p99_seconds": _seconds(0.99, latency),
    }


def _seconds(share: float, latency: Any) -> float | None:
    seconds = _metrics.quantile(share, latency)
    return None if seconds != seconds else seconds


def _device_facts(now: Snapshot, device: str) -> dict[str, Any]:
    return {
        "device": device,
        "tensors": int(now.total("tensord_tensors", device=device)),
        "memory_used_bytes": int(
            now.total("tensord_memory_bytes", device=device, kind="stored")
            + now.total("tensord_memory_bytes", device=device, kind="reserved")
        ),
        "memory_limit_bytes": int(
            now.total("tensord_memory_limit_bytes", device=device)
        ),
        "in_service": bool(
            now.total("tensord_device_in_service", device=device)
        ),
    }


def facts_of(before: Snapshot, now: Snapshot) -> dict[str, Any]:
    """What a server did between two looks, and what it is like now."""
    grown = _metrics.growth(before, now)
    ended = grown.by_label("grpc_server_handled_total", "grpc_method")
    methods = [
        _method_facts(grown, method)
        for method, count in sorted(ended.items(), key=lambda one: -one[1])
        if count
    ]
    latency = _metrics.buckets(grown, _LATENCY).items()
    return {
        "seconds": grown.seconds,
        "calls_per_second": sum(one["calls_per_second"] for one in methods),
        "errors_per_second": sum(one["errors_per_second"] for one in methods),
        "received_bytes_per_second": sum(
            one["received_bytes_per_second"] for one in methods
        ),
        "sent_bytes_per_second": sum(
            one["sent_bytes_per_second"] for one in methods
        ),
        "p50_seconds": _seconds(0.5, latency),
        "p99_seconds": _seconds(0.99, latency),
        "in_flight": int(now.total("tensord_inflight_rpcs")),
        "resident_bytes": int(now.total("process_resident_memory_bytes")),
        "devices": [
            _device_facts(now, device)
            for device in sorted(
                now.by_label("tensord_memory_limit_bytes", "device")
            )
        ],
        "methods": methods,
    }


def _latency_text(seconds: float | None) -> str:
    return "-" if seconds is None else format_latency(seconds)


def _rate_text(bytes_per_second: float) -> str:
    return f"{format_size(bytes_per_second)}/s"


def _memory_text(device: dict[str, Any]) -> str:
    used, limit = device["memory_used_bytes"], device["memory_limit_bytes"]
    return f"{format_size(used)} of {format_size(limit)}"


def _summary(facts: dict[str, Any]) -> str:
    """A line that says it all."""
    parts = [
        time.strftime("%H:%M:%S"),
        f"{format_count(facts['calls_per_second'])} calls/s",
        f"{format_count(facts['errors_per_second'])} errors/s",
        f"in {_rate_text(facts['received_bytes_per_second'])}",
        f"out {_rate_text(facts['sent_bytes_per_second'])}",
        f"p50 {_latency_text(facts['p50_seconds'])}",
        f"p99 {_latency_text(facts['p99_seconds'])}",
        f"in flight {facts['in_flight']}",
    ]
    parts += (
        f"{one['device']} {one['tensors']} tensors, {_memory_text(one)}"
        for one in facts["devices"]
    )
    return "  ".join(parts)


def _picture(facts: dict[str, Any], url: str) -> Iterator[str]:
    """The lines of a screen."""
    yield f"tensord  {url}  {time.strftime('%H:%M:%S')}"
    yield (
        f"in flight {facts['in_flight']}  resident "
        f"{format_size(facts['resident_bytes'])}"
    )
    yield ""
    yield from table_lines(
        ("DEVICE", "TENSORS", "MEMORY", "STATE"),
        (
            [
                one["device"],
                f"{one['tensors']:,}",
                _memory_text(one),
                "in service" if one["in_service"] else "out of service",
            ]
            for one in facts["devices"]
        ),
        right="lrrl",
    )
    yield ""
    yield from table_lines(
        ("METHOD", "CALLS/S", "ERRORS/S", "IN", "OUT", "P50", "P99"),
        (
            _method_row(one)
            for one in [{**facts, "method": "all"}, *facts["methods"]]
        ),
        right="lrrrrrr",
    )


def _method_row(one: dict[str, Any]) -> list[str]:
    return [
        one["method"],
        format_count(one["calls_per_second"]),
        format_count(one["errors_per_second"]),
        _rate_text(one["received_bytes_per_second"]),
        _rate_text(one["sent_bytes_per_second"]),
        _latency_text(one["p50_seconds"]),
        _latency_text(one["p99_seconds"]),
    ]


def _draw(lines: Iterator[str]) -> None:
    """Draws a screen in one go, so that it does not flicker."""
    width, height = shutil.get_terminal_size()
    shown = [line[:width] for line in itertools.islice(lines, height - 1)]
    sys.stdout.write(_HOME_AND_CLEAR + "\n".join(shown) + "\n")


def _show(facts: dict[str, Any], url: str, session: Session) -> None:
    if session.json:
        print(json.dumps(facts, allow_nan=False))
    elif sys.stdout.isatty():
        _draw(_picture(facts, url))
    else:
        print(_summary(facts))
    sys.stdout.flush()


def _run(args: argparse.Namespace, session: Session) -> None:
    url = args.metrics or metrics_url(session.target)
    before = _look(url, session.timeout)
    shows = 1 if args.once else args.count
    for _ in itertools.count() if shows is None else range(shows):
        _sleep(args.interval)
        now = _look(url, session.timeout)
        _show(facts_of(before, now), url, session)
        before = now


def _sleep(seconds: float) -> None:
    """Sleeps lightly: what sleeps in one go can not be interrupted."""
    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        time.sleep(min(rest, _NAP_SECONDS))


def _look(url: str, timeout: float) -> Snapshot:
    return _metrics.parse(_metrics.fetch(url, timeout), time.monotonic())


COMMAND = Command(
    "top",
    "the server",
    "watch calls, latencies and memory",
    _DESCRIPTION,
    (
        Example("tensorctl top", "watch the server, until Ctrl-C"),
        Example(
            "tensorctl top --metrics http://gpu-host:9464/metrics "
            "--interval 5s",
            "another one's metrics, every 5 s",
        ),
        Example("tensorctl top --once --json | jq .in_flight", "one look"),
    ),
    _add_arguments,
    _run,
)
