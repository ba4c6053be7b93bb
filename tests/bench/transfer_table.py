"""Times transfers beside what bounds them and beside others that do them.

Servers and clients are processes of their own on the loopback interface. T is
a raw socket that does the same copies (raw_socket.cc), E an empty gRPC call on
the same channel (empty_call.cc), Flight is Arrow's (flight.cc), a stub is what
grpcio makes of the proto file. Every round times each once, one after the
other; figures are medians of the rounds and ratios are of two medians, so that
a slow moment of the machine hits all. Ends with exit code 1 if a process dies,
or if everything takes longer than --time-limit.
"""

import argparse
import contextlib
import dataclasses
import datetime
import functools
import importlib.util
import pathlib
import statistics
import sys

from processes import Client, Deadline, ProcessError, Server, Usage
from report import compare, interleave, processor, write_block

HERE = pathlib.Path(__file__).parent
MIB = 1 << 20
ARRAY_BYTES = 256 * MIB
SMALL_BYTES = 1 << 10
# Of our clients by default; one stream is one.
CONNECTIONS = 2
# Of each kind, one at a time and so many at once.
CALLS = 2000
IN_FLIGHT = 32
CALLS_IN_FLIGHT = 8000
# The dtype that arrives and the one that is stored.
CASTS = [("float32", "bfloat16"), ("float32", "float16"),
         ("float32", "float8_e4m3fn"), ("float64", "float32"),
         ("uint8", "float16")]
CROWDS = [1, 4, 16, 64]
CROWD_BYTES = 16 * MIB
# Of all clients together, in either direction.
CROWD_ARRAYS = 128
BATCH = 1000
FEW_STORED = 1000
STORED_BYTES = 64
SCALE_CALLS = 1000


@dataclasses.dataclass(frozen=True)
class Line:
    """What a ratio or a figure has to keep to."""

    value: float
    at_most: bool = False

    def __str__(self):
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"

    def met(self, figure):
        return figure <= self.value if self.at_most else figure >= self.value


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: our figure, what it is measured by, and the line."""

    what: str
    ours: str
    other: str
    ratio: float
    line: Line | None = None
    # Of `ratio`, where that is none.
    unit: str = ""

    def __str__(self):
        wanted = verdict = ""
        if self.line is not None:
            wanted = str(self.line) + self.unit
            verdict = "yes" if self.line.met(self.ratio) else "**no**"
        return (f"| {self.what} | {self.ours} | {self.other} | "
                f"{self.ratio:.2f}{self.unit} | {wanted} | {verdict} |")


HEADER = ["| Measure | tensord | beside | ratio | line | met |",
          "|---|---|---|---|---|---|"]


def gigabytes(size_bytes, seconds):
    return f"{size_bytes / seconds / 1e9:.2f} GB/s"


def microseconds(seconds):
    return f"{seconds * 1e6:.1f} µs"


class Pair:
    """A client, the server that it is connected to, and what both took."""

    def __init__(self, server, client):
        self.server = server
        self.client = client
        self.used = Usage()

    def ask(self, *words):
        before = self.server.usage() + self.client.usage()
        answer = self.client.ask(*words)
        self.used += self.server.usage() + self.client.usage() - before
        return answer

    def seconds(self, *words):
        return self.ask(*words)[0]


class Peers:
    """The processes, each started when it is first asked for."""

    def __init__(self, arguments, deadline, stack):
        self._server = arguments.server
        self._bench = arguments.bench
        self._deadline = deadline
        self._stack = stack

    def start(self, kind, *command):
        return self._stack.enter_context(kind(command, self._deadline))

    def tensord(self, *flags):
        """A new server."""
        return self.start(Server, self._server, "--listen=127.0.0.1:0",
                          "--metrics_listen=none", *flags)

    def client(self):
        """A new client, without a connection."""
        return self.start(Client, self._bench / "transfer_client")

    def connected(self, server, size_bytes):
        client = self.client()
        client.ask("connect", server.address, size_bytes, CONNECTIONS)
        return Pair(server, client)

    def _verified(self, server, client, where, *options):
        client.ask("connect", where, ARRAY_BYTES, *options)
        client.ask("verify")
        return Pair(server, client)

    def _python(self, kind, server):
        client = self.start(Client, sys.executable, HERE / "transfer_peer.py",
                            kind)
        return self._verified(server, client, server.address)

    @functools.cached_property
    def ours(self):
        server = self.tensord("--noaccess_log")
        return self._verified(server, self.client(), server.address, 1)

    @functools.cached_property
    def several(self):
        """The client as it is by default."""
        server = self.ours.server
        return self._verified(server, self.client(), server.address,
                              CONNECTIONS)

    @functools.cached_property
    def checked(self):
        server, client = self.ours.server, self.client()
        client.ask("connect_checked", server.address, ARRAY_BYTES, 1)
        return Pair(server, client)

    @functools.cached_property
    def logging(self):
        return self.connected(self.tensord(), SMALL_BYTES)

    @functools.cached_property
    def python(self):
        return self._python("tensord", self.ours.server)

    @functools.cached_property
    def stub(self):
        return self._python("stub", self.ours.server)

    @functools.cached_property
    def raw(self):
        program = self._bench / "raw_socket"
        server = self.start(Server, program, "serve", ARRAY_BYTES)
        client = self.start(Client, program, "client")
        return self._verified(server, client, server.port)

    @functools.cached_property
    def empty(self):
        program = self._bench / "empty_call"
        server = self.start(Server, program, "serve")
        client = self.start(Client, program, "client")
        client.ask("connect", server.port)
        return Pair(server, client)

    @property
    def has_flight(self):
        return ((self._bench / "flight").exists()
                and importlib.util.find_spec("pyarrow") is not None)

    @functools.cached_property
    def flight(self):
        program = self._bench / "flight"
        server = self.start(Server, program, "serve")
        client = self.start(Client, program, "client")
        return self._verified(server, client, server.port)

    @functools.cached_property
    def flight_python(self):
        return self._python("flight", self.flight.server)


class Transfers:
    """Uploads or downloads of one array by everybody who can."""

    def __init__(self, peers, direction):
        self._up = direction == "upload"
        self._direction = direction
        for pair in (peers.ours, peers.several):
            pair.ask("keep", "plain", "float32", "float32")
        words = (["upload", "float32", "float32"] if self._up
                 else ["download", "plain", "float32"])
        self._pairs = {"C++": (peers.ours, words),
                       "several": (peers.several, words),
                       "T": (peers.raw, [direction]),
                       "Python": (peers.python, [direction])}
        if not self._up:
            self._pairs["new"] = (peers.python, ["download_new"])
        if peers.has_flight:
            self._pairs["Flight"] = (peers.flight, [direction])
            self._pairs["Flight in Python"] = (peers.flight_python,
                                               [direction])
        self._pairs["stub"] = (peers.stub, [direction])

    def run(self, rounds):
        """The rows, and lines on what each took."""
        found = {}
        used = dict.fromkeys(self._pairs, Usage())

        def sample(name):
            pair, words = self._pairs[name]
            before = pair.used
            seconds = pair.seconds(*words)
            used[name] += pair.used - before
            return seconds

        for name in self._pairs:
            found[name] = functools.partial(sample, name)
            sample(name)
        used.update(dict.fromkeys(used, Usage()))
        times = compare(found, rounds)
        moved = ARRAY_BYTES * rounds
        costs = [f"| {self._direction}, {NAMES[name]} | "
                 f"{usage.cpu_seconds / moved * 1e9:.2f} | "
                 f"{usage.page_faults / moved * 1e9:.0f} | "
                 f"{usage.context_switches / moved * MIB:.2f} |"
                 for name, usage in used.items()]
        return self._rows(times), costs

    def _rows(self, times):
        def row(what, ours, other, value=None):
            return Row(f"{self._direction}, {what}",
                       gigabytes(ARRAY_BYTES, times[ours]),
                       f"{NAMES[other]} {gigabytes(ARRAY_BYTES, times[other])}",
                       times[other] / times[ours],
                       None if value is None else Line(value))

        yield row("C++ client", "C++", "T", 0.85)
        if "Flight" in times:
            yield row("C++ client", "C++", "Flight", 2 if self._up else 1.5)
        yield row(f"C++ client, {CONNECTIONS} connections", "several", "C++")
        yield row("Python client", "Python", "C++", 0.9)
        if "new" in times:
            yield row("Python client, into a new array", "new", "C++")
        if "Flight" in times:
            yield row("Python client", "Python", "Flight in Python", 1.5)
        yield row("Python client", "Python", "stub", 8)


NAMES = {"C++": "C++ client", "Python": "Python client",
         "several": f"C++ client, {CONNECTIONS} connections",
         "new": "Python client into a new array", "T": "T",
         "Flight": "Flight C++", "Flight in Python": "Flight Python",
         "stub": "stock Python stub"}
COST_HEADER = ["| Both processes together | processor s/GB | page faults/GB | "
               "context switches/MiB |", "|---|---|---|---|"]


def cast_rows(peers, rounds):
    ours = peers.ours
    for dtype, stored in CASTS:
        ours.ask("fill", dtype)
        ours.ask("keep", "plain", dtype, dtype)
        ours.ask("keep", "cast", dtype, stored)
        words = {
            "up": ["upload", dtype, stored],
            "plain up": ["upload", dtype, dtype],
            "down": ["download", "cast", dtype],
            "plain down": ["download", "plain", dtype]}
        found = {name: functools.partial(ours.seconds, *words[name])
                 for name in words}
        for sample in found.values():
            sample()
        times = compare(found, rounds)
        for way, what in (("up", f"upload {dtype}→{stored}"),
                          ("down", f"download {stored}→{dtype}")):
            plain = times["plain " + way]
            yield Row(what, gigabytes(ARRAY_BYTES, times[way]),
                      f"without a cast {gigabytes(ARRAY_BYTES, plain)}",
                      plain / times[way], Line(0.97))
    for slot in ("plain", "cast"):
        ours.ask("drop", slot)
    ours.ask("fill", "float32")


def checksum_rows(peers, rounds):
    pairs = {"with": peers.checked, "without": peers.ours}
    for pair in pairs.values():
        pair.ask("keep", "plain", "float32", "float32")
    words = {"upload": ["upload", "float32", "float32"],
             "download": ["download", "plain", "float32"]}
    times = compare({(way, name): functools.partial(pair.seconds, *words[way])
                     for way in words for name, pair in pairs.items()}, rounds)
    for way in words:
        plain = times[way, "without"]
        yield Row(f"{way} with checksums",
                  gigabytes(ARRAY_BYTES, times[way, "with"]),
                  f"without {gigabytes(ARRAY_BYTES, plain)}",
                  plain / times[way, "with"], Line(0.95))
    for pair in pairs.values():
        pair.ask("drop", "plain")


def cold_rows(peers, rounds):
    client = peers.client()
    cold, warm = [], []
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(peers.tensord("--noaccess_log"))
            client.ask("connect", server.address, ARRAY_BYTES, CONNECTIONS)
            first, _, third = (client.ask("upload", "float32", "float32")[0]
                               for _ in range(3))
        cold.append(first)
        warm.append(third)
    cold, warm = statistics.median(cold), statistics.median(warm)
    yield Row("first upload after start", gigabytes(ARRAY_BYTES, cold),
              f"the third {gigabytes(ARRAY_BYTES, warm)}", warm / cold,
              Line(0.7))


class CallPhase:
    """Calls of one kind: one at a time, and many at once."""

    def __init__(self, pair, one, many):
        self._pair = pair
        self._one = one
        self._many = many
        self.latency = []
        self.rate = []
        self.cpu_seconds = 0.0
        self.calls = 0

    def one_at_a_time(self):
        # The processor's time of the client is told with its answer; the
        # server's is what the pair took, less that of the client.
        before = self._pair.server.usage()
        _, median, client = self._pair.client.ask(*self._one)
        used = self._pair.server.usage() - before
        self.latency.append(median)
        self.cpu_seconds += client + used.cpu_seconds
        self.calls += CALLS

    def many_at_once(self):
        seconds = self._pair.client.ask(*self._many)[0]
        self.rate.append(CALLS_IN_FLIGHT / seconds)

    def result(self):
        """Seconds and processor's seconds of a call, and calls per second."""
        return (statistics.median(self.latency), self.cpu_seconds / self.calls,
                statistics.median(self.rate))


def call_phases(peers):
    """Name -> phase, in an order in which each finds its tensors."""
    def numbered(pair, command, *rest):
        one = [command, 0, 1, CALLS, 1, *rest]
        many = [command, 0, 1, CALLS_IN_FLIGHT, IN_FLIGHT, *rest]
        return CallPhase(pair, one, many)

    return {
        "E": CallPhase(peers.empty, ["calls", CALLS, 1],
                       ["calls", CALLS_IN_FLIGHT, IN_FLIGHT]),
        "CreateTensor": numbered(peers.ours, "create", SMALL_BYTES),
        "ReadTensor": CallPhase(
            peers.ours, ["read", CALLS, 1, SMALL_BYTES],
            ["read", CALLS_IN_FLIGHT, IN_FLIGHT, SMALL_BYTES]),
        "GetTensor": numbered(peers.ours, "get"),
        "logged": numbered(peers.logging, "get"),
    }


def unary_rows(peers, rounds):
    phases = call_phases(peers)
    ours, logging = peers.ours.client, peers.logging.client
    logging.ask("create", 0, 1, CALLS_IN_FLIGHT, IN_FLIGHT, SMALL_BYTES)

    def run(kind, count):
        for name, phase in phases.items():
            if name == "ReadTensor":
                ours.ask("open", 0, 1, count)
            getattr(phase, kind)()
        ours.ask("delete", 0, 1, count, IN_FLIGHT)

    for _ in range(rounds):
        run("one_at_a_time", CALLS)
        run("many_at_once", CALLS_IN_FLIGHT)
    results = {name: phase.result() for name, phase in phases.items()}
    latency, cpu, rate = results.pop("E")
    titles = {"CreateTensor": "CreateTensor of 1 KiB",
              "ReadTensor": "ReadTensor of 1 KiB", "GetTensor": "GetTensor",
              "logged": "GetTensor with the access log"}
    for name, (our_latency, our_cpu, our_rate) in results.items():
        title, bound = titles[name], name != "logged"
        most = Line(1.15, at_most=True) if bound else None
        yield Row(f"{title}, one at a time", microseconds(our_latency),
                  f"E {microseconds(latency)}", our_latency / latency, most)
        yield Row(f"{title}, processor's time", microseconds(our_cpu),
                  f"E {microseconds(cpu)}", our_cpu / cpu, most)
        yield Row(f"{title}, {IN_FLIGHT} at a time", f"{our_rate:.0f}/s",
                  f"E {rate:.0f}/s", our_rate / rate,
                  Line(0.9) if bound else None)


def batch_rows(peers, rounds):
    pair = peers.connected(peers.tensord("--noaccess_log"), SMALL_BYTES)
    titles = {"batch_create": "create", "batch_transform": "transform",
              "batch_read": "read", "batch_delete": "delete"}

    def run(way):
        seconds = {}
        for command in titles:
            rest = ([BATCH, SMALL_BYTES] if command == "batch_create" else [])
            seconds[command] = pair.seconds(command, way, *rest)
        return seconds

    ways = {way: functools.partial(run, way) for way in ("batch", "single")}
    for sample in ways.values():
        sample()
    answers = interleave(ways, rounds)
    for command, title in titles.items():
        times = {way: statistics.median(answer[command]
                                        for answer in answers[way]) / BATCH
                 for way in ways}
        yield Row(f"batch of {BATCH} arrays of 1 KiB, {title} each",
                  microseconds(times["batch"]),
                  f"one by one {microseconds(times['single'])}",
                  times["single"] / times["batch"], Line(10))


def memory_rows(peers, rounds):
    server = peers.tensord("--noaccess_log")
    client = peers.connected(server, ARRAY_BYTES).client
    before = server.peak_bytes()

    def peak(*words):
        server.forget_peak()
        for _ in range(rounds):
            client.ask(*words)
        return server.peak_bytes()

    up = peak("upload", "float32", "float32")
    client.ask("keep", "plain", "float32", "float32")
    down = peak("download", "plain", "float32")
    for what, most, allowed in (("an upload", up, 64),
                                ("a download", down, 32)):
        yield Row(f"peak memory in {what}, beyond what is stored",
                  f"{most / MIB:.0f} MiB",
                  f"stored {ARRAY_BYTES / MIB:.0f} MiB; the server without "
                  f"arrays {before / MIB:.0f} MiB", (most - ARRAY_BYTES) / MIB,
                  Line(allowed, at_most=True), unit=" MiB")


def crowd_rows(peers, rounds):
    ours = peers.ours.client
    found = {count: functools.partial(ours.ask, "crowd", count,
                                      CROWD_ARRAYS // count, CROWD_BYTES)
             for count in CROWDS}
    answers = interleave(found, rounds)
    moved = CROWD_BYTES * CROWD_ARRAYS
    for way, index in (("upload", 0), ("download", 2)):
        def middle(count, place, first=index):
            return statistics.median(answer[first + place]
                                     for answer in answers[count])

        times = {count: middle(count, 0) for count in CROWDS}
        best = min(times, key=times.get)
        for count in CROWDS:
            yield Row(f"clients at a time: {count}, {way}",
                      gigabytes(moved, times[count]),
                      f"the best, {best}: {gigabytes(moved, times[best])}",
                      times[best] / times[count], Line(0.85))
        slowest = {count: middle(count, 1) for count in CROWDS}
        worst = max(slowest, key=slowest.get)
        yield Row(f"slowest client, {way}", f"{worst} at a time",
                  "the one in the middle", slowest[worst],
                  Line(3, at_most=True))


def scale_rows(peers, rounds, stored):
    pairs = {}
    for count in (FEW_STORED, stored):
        pairs[count] = peers.connected(peers.tensord("--noaccess_log"),
                                       SMALL_BYTES)
        pairs[count].client.ask("create", 0, 1, count, IN_FLIGHT, STORED_BYTES)

    def sample(count, command):
        new = [count, 1, SCALE_CALLS, 1]
        old = [0, count // SCALE_CALLS, SCALE_CALLS, 1]
        words = {"create": [*new, STORED_BYTES], "get": old, "delete": new}
        seconds = pairs[count].seconds(command, *words[command])
        return seconds / SCALE_CALLS

    times = compare({(command, count): functools.partial(sample, count, command)
                     for command in ("create", "get", "delete")
                     for count in pairs}, rounds)
    for command in ("create", "get", "delete"):
        few, many = times[command, FEW_STORED], times[command, stored]
        yield Row(f"{command} at {stored} stored", microseconds(many),
                  f"at {FEW_STORED} {microseconds(few)}", many / few,
                  Line(1.3, at_most=True))


ROWS = {"cast": cast_rows, "checksum": checksum_rows, "cold": cold_rows,
        "unary": unary_rows, "batch": batch_rows, "memory": memory_rows,
        "crowd": crowd_rows}
GROUPS = ["upload", "download", *ROWS, "scale"]


def versions():
    found = []
    for name in ("pyarrow", "grpc", "numpy"):
        if importlib.util.find_spec(name) is not None:
            found.append(f"{name} {importlib.import_module(name).__version__}")
    return ", ".join(found)


def report(arguments, peers):
    """Rows as they come; the lines of the whole."""
    lines, costs = [], []

    def add(rows):
        for row in rows:
            print(row, flush=True)
            lines.append(str(row))

    print("\n".join(HEADER), flush=True)
    rounds = arguments.rounds
    for group in arguments.only:
        if group in ("upload", "download"):
            rows, some = Transfers(peers, group).run(rounds)
            add(rows)
            costs += some
        elif group == "scale":
            add(scale_rows(peers, rounds, arguments.stored))
        else:
            add(ROWS[group](peers, rounds))
    return lines, costs


def title(arguments):
    today = datetime.date.today().isoformat()
    command = " ".join(["tests/bench/transfer.sh", *arguments.told])
    return (f"{processor()}, {versions()}; {today}; `{command}`; "
            f"{arguments.rounds} rounds; arrays of {ARRAY_BYTES >> 20} MiB of "
            "float32, one stream, warm, unless said otherwise.")


def groups(text):
    names = text.split(",")
    for name in names:
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(
                f"{name} is none of {','.join(GROUPS)}")
    return [name for name in GROUPS if name in names]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--bench", type=pathlib.Path, required=True,
                        help="folder of the programs of transfer_bench")
    parser.add_argument("--only", type=groups, default=GROUPS,
                        help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stored", type=int, default=1_000_000,
                        help="tensors in the fuller store of `scale`")
    parser.add_argument("--time-limit", type=float, default=360,
                        help="seconds for everything")
    parser.add_argument("--write", action="store_true",
                        help="replace the tables in README.md; needs all rows")
    arguments = parser.parse_args()
    if arguments.write and arguments.only != GROUPS:
        parser.error("--write is for the whole table")
    arguments.told = [word for word in sys.argv[1:]
                      if not word.startswith(("--server=", "--bench="))]
    return arguments


def main():
    arguments = parse()
    try:
        with contextlib.ExitStack() as stack:
            peers = Peers(arguments, Deadline(arguments.time_limit), stack)
            print(title(arguments) + "\n")
            lines, costs = report(arguments, peers)
    except ProcessError as error:
        sys.exit(f"transfer_table.py: {error}")
    if costs:
        costs = ["", *COST_HEADER, *costs]
        print("\n".join(costs))
    if arguments.write:
        write_block("transfer.sh",
                    [title(arguments), "", *HEADER, *lines, *costs])


if __name__ == "__main__":
    main()
