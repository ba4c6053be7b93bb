"""Runs of load_profiles.py as they lie in their folders."""

import csv
import dataclasses
import functools
import json
import pathlib

import numpy as np

# A step keeps up if so much of what is offered is answered in time, ...
KEPT_UP = 0.97
# ... and the median is at most that many times the one of the first step.
MAX_MEDIAN = 5
# What counts as recovered, as a multiple of the median before the overload.
RECOVERED_MEDIAN = 3
RECOVERY_WINDOW_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Samples:
    """A column for every field of samples.csv."""

    planned: np.ndarray  # seconds
    latency: np.ndarray  # milliseconds, from the planned time
    lag: np.ndarray  # milliseconds
    outcome: np.ndarray  # names


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One run of tensord_load."""

    name: str
    folder: pathlib.Path
    summary: dict

    @property
    def segments(self):
        return self.summary["segments"]

    @property
    def index(self):
        """The segment that the step is about: the first is the warm-up."""
        return 1

    @property
    def measured(self):
        return self.segments[self.index]

    def begin_of(self, index):
        """When a segment begins, in seconds."""
        return sum(one["seconds"] for one in self.segments[:index])

    @functools.cached_property
    def samples(self):
        return read_samples(self.folder / "samples.csv")

    @functools.cached_property
    def series(self):
        """Columns of series.csv, by name."""
        with (self.folder / "series.csv").open() as file:
            rows = list(csv.DictReader(file))
        return {
            name: np.array([float(row[name]) for row in rows])
            for name in rows[0]
        }


@dataclasses.dataclass(frozen=True)
class Run:
    """What one call of load_profiles.py left."""

    folder: pathlib.Path
    about: dict
    steps: list[Step]

    @property
    def rated(self):
        """The steps of a sweep, in ascending order of rates."""
        found = [step for step in self.steps if step.name.isdigit()]
        return sorted(found, key=lambda step: step.measured["offered_rate"])

    def step(self, name):
        return next((one for one in self.steps if one.name == name), None)


def read_samples(path):
    with path.open() as file:
        rows = [
            (row[0], row[2], row[1], row[6])
            for row in csv.reader(file)
            if row[0] != "planned_us"
        ]
    planned, latency, lag, outcome = zip(*rows) if rows else ((),) * 4
    return Samples(
        planned=np.array(planned, dtype=float) * 1e-6,
        latency=np.array(latency, dtype=float) * 1e-3,
        lag=np.array(lag, dtype=float) * 1e-3,
        outcome=np.array(outcome, dtype=object),
    )


def read_step(folder, name):
    summary = json.loads((folder / name / "summary.json").read_text())
    return Step(name=name, folder=folder / name, summary=summary)


def read_run(folder):
    """A run; FileNotFoundError without one."""
    folder = pathlib.Path(folder)
    about = json.loads((folder / "run.json").read_text())
    steps = [read_step(folder, name) for name in about["steps"]]
    return Run(folder=folder, about=about, steps=steps)


def keeps_up(step, base):
    """Whether the server answered what was offered, about as fast as `base`.

    Never of a step that is void.
    """
    segment = step.measured
    median = segment["latency_ms"]["p50"]
    return (
        not segment["void"]
        and segment["good_rate"] >= KEPT_UP * segment["planned_rate"]
        and median <= MAX_MEDIAN * base.measured["latency_ms"]["p50"]
    )


def knee(run):
    """The step with the highest rate that the server kept up with, or None."""
    rated = run.rated
    kept = [step for step in rated if keeps_up(step, rated[0])]
    return kept[-1] if kept else None


def is_bound_by_generator(run):
    """Whether the first step beyond the knee is void: the knee is a bound."""
    rated, found = run.rated, knee(run)
    beyond = rated[rated.index(found) + 1 :] if found else []
    return bool(beyond and beyond[0].measured["void"])


def recovery_seconds(samples, end, normal_ms):
    """From `end` of an overload until calls are answered as before.

    That is from where on every tenth of a second has answers alone, whose
    median is at most RECOVERED_MEDIAN times `normal_ms`. None if never.
    """
    last = samples.planned.max(initial=end)
    windows = int((last - end) / RECOVERY_WINDOW_SECONDS)
    bad = -1
    for i in range(windows):
        begin = end + i * RECOVERY_WINDOW_SECONDS
        chosen = (samples.planned >= begin) & (
            samples.planned < begin + RECOVERY_WINDOW_SECONDS
        )
        if not chosen.any():
            continue
        is_good = (samples.outcome[chosen] == "OK").all() and np.median(
            samples.latency[chosen]
        ) <= RECOVERED_MEDIAN * normal_ms
        if not is_good:
            bad = i
    if bad >= windows - 1:
        return None
    return (bad + 1) * RECOVERY_WINDOW_SECONDS


def resident_bytes(step, index):
    """The server's memory in a segment: readings of the series."""
    begin = step.begin_of(index)
    end = begin + step.segments[index]["seconds"]
    seconds = step.series["seconds"]
    chosen = (seconds >= begin) & (seconds < end)
    return step.series["server_resident_bytes"][chosen]


@dataclasses.dataclass(frozen=True)
class Overload:
    """What an overload of twice the knee did, behind segments as in sweep()."""

    goodput: float  # of what the knee gave
    refused: float  # calls
    refused_with_retry_info: float
    other_failures: float
    growth_bytes: float
    recovery_seconds: float | None
    void: list[str]


def overload(step):
    calm, before, over = step.segments[0], step.segments[1], step.segments[2]
    failures = sum(
        count
        for name, count in over["outcomes"].items()
        if name != "OK" and not name.startswith("RESOURCE_EXHAUSTED")
    )
    refused = sum(
        count
        for name, count in over["outcomes"].items()
        if name.startswith("RESOURCE_EXHAUSTED")
    )
    grown = resident_bytes(step, 3)[-1] - resident_bytes(step, 1)[-1]
    return Overload(
        goodput=over["good_rate"] / before["good_rate"],
        refused=refused,
        refused_with_retry_info=over["refused_with_retry_info"],
        other_failures=failures,
        growth_bytes=grown,
        recovery_seconds=recovery_seconds(
            step.samples, step.begin_of(3), calm["latency_ms"]["p50"]
        ),
        void=over["void"],
    )


STEP_COLUMNS = (
    "step",
    "segment",
    "seconds",
    "offered_rate",
    "planned_calls",
    "good_rate",
    "refused_rate",
    "failed_calls",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p99.9_ms",
    "p99.99_ms",
    "max_ms",
    "send_lag_p99_ms",
    "noise_p99_ms",
    "noise_p99.9_ms",
    "server_cpus",
    "server_cpu_seconds_per_1000_calls",
    "server_cpu_seconds_per_gb",
    "generator_cpus",
    "generator_cpu_seconds_per_1000_calls",
    "generator_cpu_seconds_per_gb",
    "void",
)


def step_rows(run):
    """A row of STEP_COLUMNS for every segment of every step."""
    rated = run.rated
    others = [step for step in run.steps if step not in rated]
    for step in rated + others:
        for index, segment in enumerate(step.segments):
            latency = segment["latency_ms"]
            failed = sum(
                count
                for name, count in segment["outcomes"].items()
                if name != "OK" and not name.startswith("RESOURCE_EXHAUSTED")
            )
            row = {
                "step": step.name,
                "segment": index,
                "failed_calls": failed,
                "send_lag_p99_ms": segment["send_lag_ms"]["p99"],
                "noise_p99_ms": segment["noise_ms"]["p99"],
                "noise_p99.9_ms": segment["noise_ms"]["p99.9"],
                "void": "; ".join(segment["void"]),
            }
            for name in STEP_COLUMNS:
                if name in segment and name != "void":
                    row[name] = segment[name]
                elif name.removesuffix("_ms") in latency:
                    row[name] = latency[name.removesuffix("_ms")]
            for side in ("server", "generator"):
                for field, value in segment.get(side, {}).items():
                    if f"{side}_{field}" in STEP_COLUMNS:
                        row[f"{side}_{field}"] = value
            yield row
