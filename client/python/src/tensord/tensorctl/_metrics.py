"""What a server's metrics say, at one time and between two times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tensord.tensorctl._exit import CommandError, Exit, missing_package

# Beyond what any server has; a page that goes on and on is none of ours.
_MOST_BYTES = 32 << 20

# A name, and its labels in the order of their names.
Key = tuple[str, tuple[tuple[str, str], ...]]


class Snapshot(NamedTuple):
    """The samples of one scrape."""

    # Of a clock that only runs forward.
    seconds: float
    values: Mapping[Key, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for (key, pairs), value in self.values.items()
            if key == name and wanted <= dict(pairs).items()
        )

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """The sums of the samples of this name for each value of a label."""
        sums: dict[str, float] = {}
        for (key, pairs), value in self.values.items():
            of = dict(pairs).get(label)
            if key == name and of is not None:
                sums[of] = sums.get(of, 0.0) + value
        return sums


def parse(text: str, seconds: float) -> Snapshot:
    """Reads Prometheus' text format.

    Raises
    ------
    CommandError
        It is none, or prometheus_client is not installed.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise missing_package("prometheus_client", "top") from None
    try:
        values = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise CommandError(
            Exit.INTERNAL, f"these are no metrics of Prometheus: {error}"
        ) from None
    return Snapshot(seconds, values)


def fetch(url: str, timeout: float) -> str:
    """The text of a page of metrics.

    Raises
    ------
    CommandError
        There is none.
    """
    # Takes longer to import than all the rest.
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=timeout) as page:
            text: bytes = page.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        # urllib wraps the one of the system.
        reason = getattr(error, "reason", None) or error
        raise CommandError(
            Exit.UNAVAILABLE,
            f"no metrics at {url}: {reason}; --metrics tells where they are, "
            "as the server's log does",
        ) from None
    return text.decode(errors="replace")


def growth(before: Snapshot, after: Snapshot) -> Snapshot:
    """How much every sample of a counter grew.

    A server that was started again counts from 0.
    """
    restarted = any(
        value < before.values.get(key, 0.0)
        for key, value in after.values.items()
        if key[0].endswith("_total")
    )
    grown = {
        key: value - (0.0 if restarted else before.values.get(key, 0.0))
        for key, value in after.values.items()
    }
    return Snapshot(after.seconds - before.seconds, grown)


def quantile(share: float, buckets: Iterable[tuple[float, float]]) -> float:
    """The value below which a share of a histogram's observations lies.

    As Prometheus has it: spread evenly within their bucket, and no more than
    the last bound that is finite. NaN without observations.

    Parameters
    ----------
    share
        From 0 to 1.
    buckets
        Upper bounds, and how many observations are no larger.
    """
    ordered = sorted(buckets)
    total = ordered[-1][1] if ordered else 0.0
    if total <= 0:
        return math.nan
    rank = share * total
    low, below = 0.0, 0.0
    for bound, count in ordered:
        if count >= rank and count > below:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def buckets(
    snapshot: Snapshot, name: str, **labels: str
) -> dict[float, float]:
    """The buckets of a histogram: bounds, and counts of what is no larger."""
    sums: dict[float, float] = {}
    wanted = labels.items()
    for (key, pairs), value in snapshot.values.items():
        found = dict(pairs)
        if key == f"{name}_bucket" and wanted <= found.items():
            bound = float(found["le"])
            sums[bound] = sums.get(bound, 0.0) + value
    return sums
