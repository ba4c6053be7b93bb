"""Puts profiles of load on a server of this build, and keeps what they give.

    build/venv/bin/python tests/load/load_profiles.py sweep --out=build/load/a

Profiles:

sweep   raises the rate until the server no longer keeps up, looks for the
        knee in between, then stays at half of it, and at twice it for a while
steady  one rate
overload
        half of a rate that the server just keeps up with, it, twice it, half
spike   four times the rate for a fifth of the time
soak    one rate, as long as --seconds says; minutes or hours
faults  one rate, while clients are killed, calls are given up, and the server
        is killed and started anew

The folder gets run.json, which is what load_report.py reads, and for each step
what tensord_load writes and the server's log. Options that this does not know
go to tensord_load: --mix, --small_sizes, --large_sizes, --dtypes,
--connections, --timeout_seconds, --max_in_flight and whatever else its --help
lists.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import signal
import subprocess
import sys
import time

import load_runs

ROOT = pathlib.Path(__file__).parents[2]
START_SECONDS = 60
FIRST_RATE = 1000
RATE_FACTOR = 1.5
# Between the highest rate that the server kept up with and the next.
BISECTIONS = 3
# A step that the server did not keep up with is tried again: others may have
# kept the machine busy.
ATTEMPTS = 3
MAX_RATE = 1_000_000
WARM_UP_SECONDS = 2
# Without a server, for clients to notice.
DOWN_SECONDS = 0.2
SPIKE = 4
OVERLOAD = 2
CANCEL_SHARE = 0.05
VICTIMS = 3
EVERYTHING = (
    "read=30,get=15,create=15,delete=10,transform=10,"
    "upload=6,download=6,convert=8"
)


@dataclasses.dataclass
class Setup:
    """How a run is made."""

    out: pathlib.Path
    server: pathlib.Path
    generator: pathlib.Path
    rate: float
    max_rate: float
    seconds: float
    server_flags: list[str]
    generator_flags: list[str]
    is_pinned: bool
    neighbours: int
    is_real_time: bool

    def cpus(self):
        """The processors of the server, and those of the generator."""
        allowed = sorted(os.sched_getaffinity(0))
        if not self.is_pinned or len(allowed) < 2:
            return set(allowed), set(allowed)
        half = len(allowed) // 2
        return set(allowed[:half]), set(allowed[half:])

    def place(self, cpus):
        """Where and how this process, which is about to be one of both, runs."""
        os.sched_setaffinity(0, cpus)
        if self.is_real_time:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class Server:
    """A server process on the loopback, which may be killed and restarted."""

    def __init__(self, setup):
        self._setup = setup
        self._log = setup.out / "server.log"
        self.pid_file = setup.out / "server.pid"
        self._process = None
        self.target = "127.0.0.1:0"

    def start(self):
        """Starts it, on the port that it had before if there was one."""
        cpus = self._setup.cpus()[0]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._setup.server,
                    f"--listen={self.target}",
                    "--metrics_listen=none",
                    *self._setup.server_flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=lambda: self._setup.place(cpus),
            )
        deadline = time.monotonic() + START_SECONDS
        while not (ready := self._listening()):
            if self._process.poll() is not None:
                sys.exit(f"the server has ended:\n{self._log.read_text()}")
            if time.monotonic() > deadline:
                sys.exit("the server does not start")
            time.sleep(0.01)
        self.target = ready
        # In one step: the generator reads it at any moment.
        new = self.pid_file.with_suffix(".new")
        new.write_text(str(self._process.pid))
        new.rename(self.pid_file)

    def _listening(self):
        log = self._log.read_text(errors="replace")
        found = re.search(r"^listening on (\S+)", log, re.MULTILINE)
        is_ready = re.search(r"^ready", log, re.MULTILINE)
        return found[1] if found and is_ready else None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Ends it in order; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(START_SECONDS)


@contextlib.contextmanager
def neighbours(setup):
    """Processes that keep the server's processors busy."""
    cpus = setup.cpus()[0]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", "while True: pass"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        for _ in range(setup.neighbours)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def generator(setup, server, folder, rates, *flags):
    """tensord_load, in the background; killed at the end if it still runs."""
    cpus = setup.cpus()[1]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "generator.log").open("wb") as log:
        process = subprocess.Popen(
            [
                setup.generator,
                f"--target={server.target}",
                f"--server_pid_file={server.pid_file}",
                "--rates=" + ",".join(f"{r:g}x{s:g}" for r, s in rates),
                f"--out={folder}",
                *flags,
                *setup.generator_flags,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=lambda: setup.place(cpus),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_sending(process, folder):
    """Until a generator has begun with its first segment, or failed."""
    log = folder / "generator.log"
    while process.poll() is None and "sending" not in log.read_text():
        time.sleep(0.005)


def finish(process, folder):
    """Waits for a generator; exits if it fails."""
    if process.wait() != 0:
        log = (folder / "generator.log").read_text(errors="replace")
        sys.exit(f"tensord_load failed:\n{log}")


def run_step(setup, server, name, rates, *flags):
    """A step: its folder and what it is called. The first rate warms up."""
    folder = setup.out / name
    with generator(setup, server, folder, rates, *flags) as process:
        finish(process, folder)
    return load_runs.read_step(setup.out, name)


def say(step):
    segment = step.measured
    latency = segment["latency_ms"]
    print(
        f"{step.name:12} offered {segment['offered_rate']:8.0f}/s  "
        f"good {segment['good_rate']:8.0f}/s  "
        f"p50 {latency['p50']:7.2f} ms  p99 {latency['p99']:7.2f} ms"
        + ("  VOID: " + "; ".join(segment["void"]) if segment["void"] else ""),
        flush=True,
    )
    return step


def with_warm_up(setup, rate, *rates):
    """The rates, behind a warm-up that no figure is taken of."""
    warm_up = min(WARM_UP_SECONDS, setup.seconds / 2)
    return [(min(rate, FIRST_RATE), warm_up), (rate, setup.seconds), *rates]


def sweep(setup, server):
    """The steps on the way to the knee, then half of it and twice it."""
    steps = []

    def step(name, rates, *flags):
        steps.append(say(run_step(setup, server, name, rates, *flags)))
        return steps[-1]

    def at(rate):
        """The last attempt at a rate."""
        for _ in range(ATTEMPTS):
            name = f"{rate:.0f}"
            found = say(
                run_step(setup, server, name, with_warm_up(setup, rate))
            )
            if load_runs.keeps_up(found, steps[0] if steps else found):
                break
        steps.append(found)
        return found

    base = at(setup.rate)
    good, bad, rate = setup.rate, None, setup.rate
    if not load_runs.keeps_up(base, base):
        sys.exit(f"{rate:g} calls per second are too many to begin with")
    while bad is None and rate * RATE_FACTOR <= setup.max_rate:
        rate *= RATE_FACTOR
        if load_runs.keeps_up(at(rate), base):
            good = rate
        else:
            bad = rate
    for _ in range(BISECTIONS if bad else 0):
        rate = (good + bad) / 2
        if load_runs.keeps_up(at(rate), base):
            good = rate
        else:
            bad = rate
    print(f"knee: {good:.0f} calls per second")
    step(
        "half",
        [(min(good / 2, FIRST_RATE), 1), (good / 2, 3 * setup.seconds)],
        f"--pauses_seconds={setup.seconds:g}",
    )
    step("overload", overload_rates(setup, good))
    return steps


def overload_rates(setup, knee):
    """Half of the knee, the knee, twice it, and half again."""
    parts = (1 / 2, 1, OVERLOAD, 1 / 2)
    return [(part * knee, setup.seconds) for part in parts]


def overload(setup, server):
    rates = overload_rates(setup, setup.rate)
    return [say(run_step(setup, server, "overload", rates))]


def steady(setup, server):
    rates = with_warm_up(setup, setup.rate)
    return [say(run_step(setup, server, "steady", rates))]


def spike(setup, server):
    part = (setup.rate, setup.seconds * 2 / 5)
    rates = [part, part, (SPIKE * setup.rate, setup.seconds / 5), part]
    return [say(run_step(setup, server, "spike", rates))]


def soak(setup, server):
    rates = with_warm_up(setup, setup.rate)
    flags = [f"--mix={EVERYTHING}"]
    return [say(run_step(setup, server, "soak", rates, *flags))]


def faults(setup, server):
    folder = setup.out / "faults"
    flags = (f"--mix={EVERYTHING}", f"--cancel_share={CANCEL_SHARE}")
    rates = with_warm_up(setup, setup.rate)
    with generator(setup, server, folder, rates, *flags) as load:
        wait_until_sending(load, folder)
        time.sleep(rates[0][1] + setup.seconds / 4)
        server.kill()
        time.sleep(DOWN_SECONDS)
        server.start()
        for i in range(VICTIMS):
            kill_a_client(setup, server, f"victim-{i}")
        finish(load, folder)
    return [say(load_runs.read_step(setup.out, "faults"))]


def kill_a_client(setup, server, name):
    """In the middle of uploads, downloads and conversions."""
    folder = setup.out / name
    rates = [(setup.rate / 4, 10 * setup.seconds)]
    flags = ("--mix=upload,download,convert", f"--prefix={name}/")
    with generator(setup, server, folder, rates, *flags) as victim:
        wait_until_sending(victim, folder)
        time.sleep(setup.seconds / (4 * VICTIMS))


PROFILES = {
    profile.__name__: profile
    for profile in (sweep, steady, overload, spike, soak, faults)
}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def machine():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": platform.release(),
    }


def version(binary):
    done = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\n")[0].strip()


def command_line(argv):
    """What was typed, as it is typed at the top of the tree."""
    words = ["build/venv/bin/python", "tests/load/load_profiles.py", *argv]
    return shlex.join(words)


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # What begins like an option here may be one of tensord_load.
        allow_abbrev=False,
    )
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument(
        "--rate", type=float, default=FIRST_RATE, help="calls per second"
    )
    parser.add_argument(
        "--max_rate",
        type=float,
        default=MAX_RATE,
        help="where a sweep stops even if the server still keeps up",
    )
    parser.add_argument(
        "--seconds", type=float, default=5, help="how long a step takes"
    )
    parser.add_argument(
        "--pin",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="server and generator on processors of their own, half each",
    )
    parser.add_argument(
        "--neighbours",
        type=int,
        default=0,
        help="processes that keep the server's processors busy beside it, so "
        "that a generator that is no faster than the server can overload it",
    )
    parser.add_argument(
        "--real_time",
        action="store_true",
        help="server and generator before everything else on the machine "
        "(SCHED_RR), whose other processes are in no figure then; for root",
    )
    parser.add_argument(
        "--server_flags", default="", help="in one word, as for a shell"
    )
    parser.add_argument("--note", default="", help="shown on the page")
    built = pathlib.Path(
        os.environ.get("TENSORD_SERVER", ROOT / "build/release/bin/tensord")
    )
    parser.add_argument("--server", type=pathlib.Path, default=built)
    parser.add_argument(
        "--generator",
        type=pathlib.Path,
        default=built.with_name("tensord_load"),
    )
    return parser.parse_known_args(argv)


def main(argv):
    options, rest = parse(argv)
    if not options.seconds > 0 or not options.rate > 0:
        sys.exit("--rate and --seconds have to be above 0")
    setup = Setup(
        out=options.out,
        server=options.server,
        generator=options.generator,
        rate=options.rate,
        max_rate=options.max_rate,
        seconds=options.seconds,
        server_flags=shlex.split(options.server_flags),
        generator_flags=[word for word in rest if word != "--"],
        is_pinned=options.pin,
        neighbours=options.neighbours,
        is_real_time=options.real_time,
    )
    setup.out.mkdir(parents=True, exist_ok=True)
    # What was started is ended then as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    load_before = os.getloadavg()[0]
    server = Server(setup)
    server.start()
    try:
        with neighbours(setup):
            steps = PROFILES[options.profile](setup, server)
    finally:
        code = server.stop()
    if code != 0:
        sys.exit(f"the server ended with {code}; see {setup.out}/server.log")
    run = {
        "profile": options.profile,
        "command": command_line(argv),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "load_average_before": load_before,
        "server": version(setup.server),
        "server_flags": setup.server_flags,
        "is_pinned": setup.is_pinned,
        "neighbours": setup.neighbours,
        "is_real_time": setup.is_real_time,
        "note": options.note,
        "steps": [step.name for step in steps],
    }
    (setup.out / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    print(f"wrote {setup.out}/run.json")


if __name__ == "__main__":
    main(sys.argv[1:])
