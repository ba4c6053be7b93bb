"""Two servers with troubles of every kind, and a Prometheus that watches.

Prometheus runs with the files of deploy/prometheus and the command of
deploy/compose.yaml, but `SPEED` times as fast: at 60, a minute of those files
takes a second. What it saw is there to be asked until the end of the session.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import re
import signal
import threading
import time

import deploy_harness as harness
import grpc
import numpy as np
import tensord
import yaml
from server_process import is_sanitized

TOKEN = "d2f1"
# Of a server that is watched by a sanitizer, too, less can be asked.
SPEED = 20 if is_sanitized() else 60
# A minute has as many scrapes as it needs, and each the time to answer on a
# machine that is busy.
INTERVALS = {
    "scrape_interval": f"{60 / SPEED:g}s",
    "evaluation_interval": f"{30_000 // SPEED}ms",
}
MIB = harness.MIB
# The longest that anything here may take: much more than it does.
PATIENCE_SECONDS = 3600 / SPEED

# What the troubles below bring about, each at one of the servers.
EXPECTED_ALERTS = {
    "TensordDown",
    "TensordMemoryNearlyFull",
    "TensordRefusingForRoom",
    "TensordReloadRefused",
    "TensordRestarted",
    "TensordTokensGuessed",
}


@dataclasses.dataclass
class Watched:
    """What happened, between `start` and `end` in seconds of Unix time."""

    prometheus: harness.Prometheus
    targets: list
    start: float
    end: float
    fired: set
    firing_at_the_end: set


def sooner(text):
    """A Prometheus file, or an expression, with durations so much shorter."""

    def scaled(found):
        seconds = {"s": 1, "m": 60, "h": 3600}[found[3]] * int(found[2])
        return f"{found[1]}{seconds * 1000 // SPEED}ms"

    return re.sub(r"(\[|offset |for: )(\d+)([smh])\b", scaled, text)


def write_configuration(folder, targets):
    """The files of deploy/prometheus, for these targets."""
    source = harness.DEPLOY / "prometheus"
    rules = sooner((source / "rules.yaml").read_text())
    (folder / "rules.yaml").write_text(rules)
    configuration = harness.load("prometheus/prometheus.yaml")
    configuration["global"] = INTERVALS
    for job in configuration["scrape_configs"]:
        [group] = job["static_configs"]
        group["targets"] = targets[job["job_name"]]
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def prometheus_command(path, port):
    """The command of the compose file, with other places."""
    service = harness.load("compose.yaml")["services"]["prometheus"]
    places = {
        "--config.file": path,
        "--storage.tsdb.path": path.parent / "data",
    }
    flags = []
    for flag in service["command"]:
        name, _, value = flag.partition("=")
        flags.append(f"{name}={places.pop(name, value)}")
    assert not places
    return [
        "prometheus",
        *flags,
        f"--web.listen-address=127.0.0.1:{port}",
        f"--query.lookback-delta={300_000 // SPEED}ms",
    ]


class Load:
    """Calls of every kind in a thread of its own, until it is stopped."""

    def __init__(self, full, small):
        self._full = full
        self._small = small
        self._stop = threading.Event()
        self.pressure = threading.Event()
        self._errors = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(body,), daemon=True)
            for body in (
                self._call,
                self._hold,
                self._press,
                self._guess,
                self._evict,
            )
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        assert not self._errors, self._errors

    def _guarded(self, body):
        try:
            body()
        except Exception as error:
            self._errors.append(repr(error))

    def _every(self, seconds):
        while not self._stop.wait(seconds):
            yield

    def _connect(self, target, token=TOKEN):
        return tensord.connect(
            target, token=token, insecure=True, max_attempts=1
        )

    def _call(self):
        values = np.linspace(0, 1, 1 << 18, dtype="float32")
        with self._connect(self._full) as client:
            for turn, _ in enumerate(self._every(0.05)):
                small = client.tensor(values[:100])
                small.to("float64").numpy()
                small.to("cuda:0").to("float16").cpu()
                client.tensor(values, dtype="float16").numpy()
                client.convert(values, "bfloat16")
                client.create_batch([values[:8]] * 4)
                client.tensor(values[:100], name=f"brief-{turn}", ttl=0.05)
                with contextlib.suppress(KeyError):
                    client["nothing"]

    def _hold(self):
        """Has one call under way all the time, which no scrape misses."""
        with grpc.insecure_channel(self._full) as channel:
            batch = channel.stream_stream("/tensord.v1.TensorService/Batch")
            metadata = [("authorization", f"Bearer {TOKEN}")]
            call = batch(self._nothing(), metadata=metadata)
            self._stop.wait()
            call.cancel()

    def _nothing(self):
        self._stop.wait()
        yield from ()

    def _press(self):
        """Fills the server, and asks for more, while there is pressure."""
        values = np.zeros(47 * MIB, dtype="uint8")
        with self._connect(self._full) as client:
            held = None
            for _ in self._every(0.05):
                if not self.pressure.is_set():
                    held = None
                    continue
                if held is None:
                    held = client.tensor(values)
                with contextlib.suppress(MemoryError):
                    client.tensor(values)

    def _guess(self):
        for _ in self._every(0.2):
            if self.pressure.is_set():
                with contextlib.suppress(tensord.TensordError):
                    self._connect(self._full, token="guess")

    def _evict(self):
        """Puts more into the other server than it holds; it may be down."""
        values = np.zeros(3 * MIB, dtype="uint8")
        for name in itertools.cycle(("a", "b")):
            if self._stop.wait(0.2):
                return
            with (
                contextlib.suppress(tensord.TensordError),
                self._connect(self._small, token=None) as client,
            ):
                client.tensor(values, name=name, replace=True)


def at(port):
    return f"127.0.0.1:{port}"


@contextlib.contextmanager
def watched(folder):
    ports = {
        name: (harness.free_port(), harness.free_port())
        for name in ("full", "small")
    }
    tokens = folder / "tokens"
    credential = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(f"sha256:{credential} team-a read,write\n")

    def start(name, *flags, binary=None):
        grpc, metrics = ports[name]
        return harness.server(
            folder,
            f"--listen={at(grpc)}",
            f"--metrics_listen={at(metrics)}",
            *flags,
            binary=binary,
        )

    def start_small():
        return start("small", "--memory_limit=5MiB", "--eviction=lru")

    port = harness.free_port()
    targets = {
        "tensord": [at(metrics) for _, metrics in ports.values()],
        "prometheus": [at(port)],
    }
    path = write_configuration(folder, targets)
    prometheus = harness.Prometheus(port)
    log = folder / "prometheus.log"
    stand_in = harness.server_binary().parents[1] / "tests/tensord_stand_in"
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            start(
                "full",
                "--memory_limit=50MiB",
                f"--auth_tokens={tokens}",
                binary=stand_in,
            )
        )
        small = stack.enter_context(contextlib.ExitStack())
        process, _ = small.enter_context(start_small())
        stack.enter_context(
            harness.running(prometheus_command(path, port), log)
        )
        harness.wait_for("Prometheus", prometheus.is_ready, log=log)
        began = time.time()
        history = History(prometheus)
        with Load(*(at(grpc) for grpc, _ in ports.values())) as load:
            load.pressure.set()
            history.wait_until(lambda: is_scraped(prometheus, targets))
            process.send_signal(signal.SIGTERM)
            history.wait_until_fired("TensordDown")
            small.close()
            small.enter_context(start_small())
            # What appears counts where there was a scrape before it.
            tokens.write_text("nobody\n")
            history.wait_until_fired(*EXPECTED_ALERTS)
            load.pressure.clear()
            history.wait_until(lambda: not prometheus.firing())
        yield Watched(
            prometheus,
            [one for group in targets.values() for one in group],
            began,
            time.time(),
            history.fired,
            prometheus.firing(),
        )


def is_scraped(prometheus, targets):
    """Whether all were, for long enough that what changes is seen."""
    up = prometheus.now("sum_over_time(up[1m]) >= 3")
    return len(up) == sum(map(len, targets.values()))


class History:
    """Remembers which alerts fired."""

    def __init__(self, prometheus):
        self._prometheus = prometheus
        self.fired = set()

    def wait_until(self, condition):
        def look():
            self.fired |= {name for name, _ in self._prometheus.firing()}
            return condition()

        deadline = time.monotonic() + PATIENCE_SECONDS
        while not look():
            assert time.monotonic() < deadline, (
                f"fired until now: {self.fired}; fire now: "
                f"{self._prometheus.firing()}"
            )
            time.sleep(0.1)

    def wait_until_fired(self, *names):
        self.wait_until(lambda: set(names) <= self.fired)
