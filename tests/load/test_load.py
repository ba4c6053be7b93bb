"""Every profile for some seconds, the page of each, Locust, and the recipe.

Nothing here says how fast anything is: machines that run tests have other
things to do.
"""

import base64
import csv
import html.parser
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import load_plots
import load_profiles
import load_report
import load_runs
import numpy as np
import pytest
from server_process import is_sanitized

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent
# What any server keeps up with.
RATE = 40 if is_sanitized() else 400
MAX_RATE = RATE * 3 // 2
SHORT = ("--seconds=0.5", f"--rate={RATE}", "--quiet_seconds=0.05", "--no-pin")


def run(folder, profile, *flags):
    """A run of a profile, in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            HERE / "load_profiles.py",
            profile,
            f"--out={folder}",
            *SHORT,
            *flags,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return load_runs.read_run(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def sweep(folders):
    return run(folders / "sweep", "sweep", f"--max_rate={MAX_RATE}")


@pytest.fixture(scope="module")
def steady(folders):
    return run(folders / "steady", "steady", "--note=a <note>")


@pytest.fixture
def server(tmp_path):
    """A server, as profiles start it."""
    options, _ = load_profiles.parse(["steady", f"--out={tmp_path}"])
    setup = SimpleNamespace(
        out=tmp_path,
        server=options.server,
        generator=options.generator,
        server_flags=["--max_calls=1000"],
        generator_flags=["--quiet_seconds=0"],
        cpus=lambda: (os.sched_getaffinity(0),) * 2,
        place=lambda cpus: None,
    )
    started = load_profiles.Server(setup)
    started.start()
    yield SimpleNamespace(process=started, setup=setup)
    started.stop()


class Page(html.parser.HTMLParser):
    """What a page holds; fails where elements are not nested."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self, text):
        super().__init__()
        self.plots, self.open, self.links = [], [], []
        self.headings, self._heading = [], None
        self.sources = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "data-plot" in attributes:
            self.plots.append(attributes["data-plot"])
        if "href" in attributes:
            self.links.append(attributes["href"])
        if "src" in attributes:
            self.sources.append(attributes["src"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def page_of(out, *runs):
    folders = [str(one.folder) for one in runs]
    load_report.main([*folders, f"--out={out}"])
    return Page(out.read_text())


STORY = {"heat", "rates", "memory", "noise"}


def test_sweep_goes_up_to_the_knee_and_beyond(sweep):
    rates = [f"{RATE}", f"{MAX_RATE}"]
    assert [step.name for step in sweep.rated] == rates
    assert {"half", "overload"} <= {step.name for step in sweep.steps}
    knee = load_runs.knee(sweep)
    rate = knee.measured["offered_rate"]
    assert sweep.step("half").measured["offered_rate"] == rate / 2
    over = sweep.step("overload")
    offered = [segment["offered_rate"] for segment in over.segments]
    assert offered == [rate / 2, rate, 2 * rate, rate / 2]
    assert load_runs.overload(over).goodput > 0


def test_both_sides_run_before_everything_else_where_that_is_asked_for(
    tmp_path,
):
    options, _ = load_profiles.parse(
        ["steady", f"--out={tmp_path}", "--real_time"]
    )
    assert options.real_time
    cpus = os.sched_getaffinity(0)
    for is_real_time, expected in ((False, "0"), (True, str(os.SCHED_RR))):
        setup = SimpleNamespace(is_real_time=is_real_time)
        try:
            told = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "import os; print(os.sched_getscheduler(0))",
                ],
                preexec_fn=lambda setup=setup: load_profiles.Setup.place(
                    setup, cpus
                ),
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        except subprocess.SubprocessError:
            pytest.skip("real-time priority is not allowed here")
        assert told.strip() == expected


def test_page_of_a_sweep_has_every_plot(sweep, tmp_path):
    out = tmp_path / "page.html"
    page = page_of(out, sweep)
    expected = {"throughput", "latency", "processors", "percentiles", *STORY}
    assert set(page.plots) == expected
    assert len(page.plots) == len(expected)
    # It stands alone.
    assert page.sources == []
    assert all(link.startswith("data:") for link in page.links)
    text = out.read_text()
    assert "NaN" not in text and "nan" not in re.sub(
        r"<style>.*?</style>", "", text
    )
    assert "load_profiles.py sweep" in text
    assert "and pauses for" in text
    assert sweep.about["date"] in text


def test_csv_has_a_row_for_every_segment(sweep, tmp_path):
    out = tmp_path / "page.html"
    page = page_of(out, sweep)
    written = out.with_suffix(".csv").read_text()
    rows = list(csv.DictReader(written.splitlines()))
    assert len(rows) == sum(len(step.segments) for step in sweep.steps)
    assert tuple(rows[0]) == ("run", *load_runs.STEP_COLUMNS)
    for row in rows:
        assert float(row["p50_ms"]) <= float(row["p99.9_ms"])
        assert float(row["server_cpus"]) >= 0
    # The page has the same inside.
    (link,) = page.links
    assert base64.b64decode(link.partition(",")[2]).decode() == written


def test_two_runs_are_compared_on_one_page(sweep, steady, tmp_path):
    page = page_of(tmp_path / "page.html", sweep, sweep)
    both = {plot + name for plot in STORY for name in "AB"}
    assert both < set(page.plots)
    # Runs of which one has no rates to be drawn over.
    page = page_of(tmp_path / "page.html", sweep, steady)
    assert set(page.plots) == {"percentiles", *both}
    rows = (tmp_path / "page.csv").read_text().splitlines()
    assert {row.partition(",")[0] for row in rows[1:]} == {"A", "B"}


def test_notes_are_escaped(steady, tmp_path):
    page_of(tmp_path / "page.html", steady)
    text = (tmp_path / "page.html").read_text()
    assert "a &lt;note&gt;" in text and "<note>" not in text


def test_page_needs_runs(tmp_path):
    with pytest.raises(SystemExit, match=r"run\.json is missing"):
        load_report.main([str(tmp_path), f"--out={tmp_path}/page.html"])


@pytest.mark.parametrize("profile", ["spike", "soak"])
def test_profile_makes_a_page(profile, folders, tmp_path):
    made = run(folders / profile, profile)
    page = page_of(tmp_path / "page.html", made)
    assert set(page.plots) == {"percentiles", *STORY}
    assert made.steps[0].measured["latency_ms"]["count"] > 0


def test_faults_end_calls_but_not_the_server(folders, tmp_path):
    made = run(folders / "faults", "faults", "--seconds=2")
    (step,) = made.steps
    counts = {}
    for segment in step.segments:
        for name, count in segment["outcomes"].items():
            counts[name] = counts.get(name, 0) + count
    # The server was killed; calls that came back later were answered, and
    # none got wrong elements.
    assert counts["OK"] > 0
    assert any(name.startswith("UNAVAILABLE") for name in counts), counts
    assert not any(name.startswith("DATA_LOSS") for name in counts), counts
    assert "PENDING" not in counts
    outcomes = list(step.samples.outcome)
    down = [i for i, one in enumerate(outcomes) if one.startswith("UNAVAIL")]
    assert "OK" in outcomes[down[-1] :]
    assert len(list(made.folder.glob("victim-*"))) == load_profiles.VICTIMS
    page_of(tmp_path / "page.html", made)


def test_calls_that_are_due_while_the_server_stands_still_are_late(server):
    """Latency counts from when a call was due: none is omitted."""
    folder = server.setup.out / "stall"
    rates = [(400, 0.5), (400, 1.5)]
    with load_profiles.generator(
        server.setup, server.process, folder, rates, "--arrivals=fixed"
    ) as generator:
        pid = int(server.process.pid_file.read_text())
        load_profiles.wait_until_sending(generator, folder)
        time.sleep(0.5)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(pid, signal.SIGCONT)
        load_profiles.finish(generator, folder)
    samples = load_runs.read_samples(folder / "samples.csv")
    assert len(samples.planned) == 800
    # 240 calls were due; each waits until the server goes on.
    assert (samples.latency > 100).sum() >= 180
    assert (samples.latency > 500).sum() >= 20


@pytest.mark.parametrize(
    "flag",
    [
        "--rates=fast",
        "--arrivals=bursts",
        "--mix=reed",
        "--small_sizes=0",
        "--large_sizes=2GiB",
        "--dtypes=float31",
        "--connections=0",
        "--made=0",
        "surplus",
    ],
)
def test_generator_refuses_flags_that_say_nothing(flag, tmp_path):
    options, _ = load_profiles.parse(["steady", f"--out={tmp_path}"])
    done = subprocess.run(
        [options.generator, flag, f"--out={tmp_path}/x"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tensord_load: ")
    assert not (tmp_path / "x").exists()


def samples_of(planned, latency, outcome):
    return load_runs.Samples(
        planned=np.array(planned, dtype=float),
        latency=np.array(latency, dtype=float),
        lag=np.zeros(len(planned)),
        outcome=np.array(outcome, dtype=object),
    )


def test_recovery_is_where_everything_stays_as_before():
    planned = np.arange(0, 4, 0.01)
    calm = np.ones(len(planned))
    ok = np.array(["OK"] * len(planned), dtype=object)

    def recovery(latency, outcome):
        return load_runs.recovery_seconds(
            samples_of(planned, latency, outcome), 2, 1.0
        )

    assert recovery(calm, ok) == 0
    slow = np.where((planned >= 2) & (planned < 2.35), 50, calm)
    assert recovery(slow, ok) == pytest.approx(0.4)
    refused = ok.copy()
    refused[(planned > 2.51) & (planned < 2.52)] = "RESOURCE_EXHAUSTED/X"
    refused[np.argmax(planned >= 2.5)] = "RESOURCE_EXHAUSTED/X"
    assert recovery(calm, refused) == pytest.approx(0.6)
    assert recovery(np.where(planned >= 2, 50, calm), ok) is None


def step_of(good, planned, median, void=()):
    measured = {
        "good_rate": good,
        "planned_rate": planned,
        "latency_ms": {"p50": median},
        "void": list(void),
    }
    return load_runs.Step("x", pathlib.Path(), {"segments": [{}, measured]})


def test_a_step_keeps_up_if_it_answers_in_time_and_is_not_void():
    base = step_of(1000, 1000, 0.2)
    assert load_runs.keeps_up(step_of(2000, 2000, 0.3), base)
    assert load_runs.keeps_up(step_of(1941, 2000, 1.0), base)
    assert not load_runs.keeps_up(step_of(1939, 2000, 0.3), base)
    assert not load_runs.keeps_up(step_of(2000, 2000, 1.1), base)
    assert not load_runs.keeps_up(step_of(2000, 2000, 0.3, ["late"]), base)


@pytest.mark.parametrize("is_log", [False, True])
def test_axes_have_round_ticks_within_them(is_log):
    generator = np.random.default_rng(3)
    for _ in range(200):
        low, factor = 10 ** generator.uniform((-3, 0.1), (5, 4))
        high = low * (0.01 + factor)
        axis = load_plots.Axis(low, high, 10, 500, is_log)
        ticks = axis.ticks()
        assert ticks == sorted(ticks)
        assert len(ticks) <= 16
        if not is_log:
            assert len(ticks) >= 2
        for value in ticks:
            assert 10 - 1e-6 <= axis(value) <= 500 + 1e-6
        assert axis(low) == pytest.approx(10)
        assert axis(high) == pytest.approx(500)


def test_heat_map_has_every_sample_in_a_cell():
    generator = np.random.default_rng(5)
    xs, ys = generator.uniform(0, 9, 5000), generator.lognormal(0, 2, 5000)
    plot = load_plots.heat_map("heat", xs, ys, "x", "y")
    cells = re.findall(r'class="heat"', plot)
    counts, _, _ = np.histogram2d(
        xs,
        np.log(ys),
        bins=(load_plots.HEAT_COLUMNS, load_plots.HEAT_ROWS),
        range=((0, xs.max()), np.log((ys.min() * 0.8, ys.max() * 1.25))),
    )
    assert counts.sum() == 5000
    assert abs(len(cells) - np.count_nonzero(counts)) <= 5


def run_locust(server, folder, seconds):
    """What Locust counted, by name, and what it said."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "locust",
            "--locustfile",
            HERE / "locustfile.py",
            "--headless",
            "--users=6",
            "--spawn-rate=6",
            f"--run-time={seconds}s",
            f"--host={server.process.target}",
            "--json",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}, done.stderr


def test_locust_runs_users(server, tmp_path):
    kinds = {"read", "create", "delete", "transform", "convert"}
    # Two seconds are not enough for users to begin where nothing goes fast.
    for seconds in (2, 15):
        counted, said = run_locust(server, tmp_path, seconds)
        if set(counted) == kinds:
            break
    assert set(counted) == kinds, said
    for one in counted.values():
        assert one["num_requests"] > 0
        assert one["num_failures"] == 0, said


def ghz_commands():
    """The recipe's commands, as lists of words."""
    text = (HERE / "README.md").read_text()
    found = re.findall(r"^\$ (ghz (?:.*\n> )*.*)$", text, re.MULTILINE)
    return [shlex.split(one.replace("\n> ", "\n")) for one in found]


@pytest.fixture(scope="module")
def stubs():
    """Stock stubs of the proto files, as the tests of the wire make them."""
    sys.path.insert(0, str(ROOT / "tests/wire"))
    try:
        import wire_stubs
    finally:
        sys.path.remove(str(ROOT / "tests/wire"))
    return wire_stubs


def test_payloads_of_the_recipe_are_taken_by_the_server(server, stubs):
    grpc = pytest.importorskip("grpc")
    from google.protobuf import json_format

    commands = ghz_commands()
    assert len(commands) >= 2
    service = stubs.pb.DESCRIPTOR.services_by_name["TensorService"]
    with grpc.insecure_channel(server.process.target) as channel:
        stub = stubs.pb_grpc.TensorServiceStub(channel)
        for words in commands:
            options = dict(
                word.removeprefix("--").split("=", 1)
                for word in words[1:]
                if "=" in word
            )
            package, _, method = options["call"].rpartition(".")
            assert package == "tensord.v1.TensorService"
            kind = service.methods_by_name[method].input_type
            payload = options["data"].replace("{{.RequestNumber}}", "7")
            assert "{{" not in payload
            request = getattr(stubs.pb, kind.name)()
            json_format.Parse(payload, request)
            # The second reads what the first made.
            getattr(stub, method)(request, timeout=30)
