"""Makes one page of a run of load_profiles.py, or compares two.

    build/venv/bin/python tests/load/load_report.py build/load/a \
        --out=build/load/a.html
    build/venv/bin/python tests/load/load_report.py build/load/a build/load/b \
        --out=build/load/compared.html

The page needs nothing but itself. Beside it goes a CSV file with a row for
every step, of the same name; the calls themselves are in the run's folder,
samples.csv and series.csv of each step.
"""

import argparse
import base64
import csv
import html
import io
import pathlib
import sys

import load_plots
import load_runs
import numpy as np
from load_plots import Band, Line

MIB = 2**20
# Goals that the page measures itself against.
MAX_P99 = 5
MAX_P999 = 10
MIN_GOODPUT = 0.9
MAX_RECOVERY_SECONDS = 1.0
# Of memory: less is what allocators and gRPC keep for the next call.
MAX_GROWTH_BYTES = 16 * MIB
# The finest that rates over time are shown.
WINDOW_SECONDS = 0.1
WINDOWS = 120
NAMES_OF_RUNS = ("A", "B")

STYLE = """
:root { color-scheme: light dark; --page:#f7f8fa; --card:#fff; --ink:#1c2330;
  --muted:#66708a; --grid:#e4e8ef; --s0:#2563c9; --s1:#e07b1a; --s2:#c2305c;
  --s3:#1f9d72; --s4:#7c4bc4; --s5:#8a93a6; --band:#f2efe3; --good:#157a55;
  --bad:#b3261e; }
@media (prefers-color-scheme: dark) { :root { --page:#11151c; --card:#1a202b;
  --ink:#e6eaf2; --muted:#98a3ba; --grid:#2b3443; --s0:#6ea8ff; --s1:#ffb057;
  --s2:#ff7d9c; --s3:#4fd1a1; --s4:#b795ff; --s5:#8a93a6; --band:#262838;
  --good:#4fd1a1; --bad:#ff8a80; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--page); color:var(--ink);
  font:15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width:1180px; margin:0 auto; padding:28px 24px 48px; }
h1 { font-size:26px; margin:0 0 4px; letter-spacing:-.01em; }
h2 { font-size:18px; margin:36px 0 10px; }
p.about, figcaption, footer { color:var(--muted); font-size:13px; }
p.about { margin:2px 0; } p.about code { overflow-wrap:anywhere; }
code { font-family:ui-monospace, "DejaVu Sans Mono", monospace;
  font-size:12.5px; }
.cards { display:grid; gap:14px; margin-top:20px;
  grid-template-columns:repeat(auto-fit, minmax(240px, 1fr)); }
.card, figure { background:var(--card); border:1px solid var(--grid);
  border-radius:12px; }
.card { padding:14px 16px; }
.card .name { color:var(--muted); font-size:13px; }
.card .value { font-size:25px; font-weight:650; letter-spacing:-.02em; }
.card .value small { font-size:14px; font-weight:500; color:var(--muted); }
.card .goal { font-size:12.5px; color:var(--muted); }
.met { color:var(--good); font-weight:600; }
.missed { color:var(--bad); font-weight:600; }
.figures { display:grid; gap:16px;
  grid-template-columns:repeat(auto-fill, minmax(min(520px, 100%), 1fr)); }
figure { margin:0; padding:14px 14px 12px; min-width:0; }
figure h3 { margin:0 0 6px; font-size:15px; font-weight:600; }
figcaption { margin-top:8px; }
.plot { width:100%; height:auto; display:block; }
.plot text { font:14px system-ui, "DejaVu Sans", sans-serif;
  fill:var(--muted); }
.plot .label { font-size:14px; fill:var(--ink); }
.plot .marktext { fill:var(--ink); font-weight:600; }
.grid { stroke:var(--grid); } .axis { stroke:var(--muted); }
.mark { stroke:var(--ink); stroke-dasharray:3 4; stroke-opacity:.55; }
.band { fill:var(--band); }
.line { fill:none; stroke-width:2.2; stroke-linejoin:round; }
.dashed { stroke-dasharray:6 4; }
.dot { stroke:var(--card); stroke-width:1.2; }
.heat { fill:var(--s0); }
.line.c0{stroke:var(--s0)} .dot.c0{fill:var(--s0)}
.line.c1{stroke:var(--s1)} .dot.c1{fill:var(--s1)}
.line.c2{stroke:var(--s2)} .dot.c2{fill:var(--s2)}
.line.c3{stroke:var(--s3)} .dot.c3{fill:var(--s3)}
.line.c4{stroke:var(--s4)} .dot.c4{fill:var(--s4)}
.line.c5{stroke:var(--s5)} .dot.c5{fill:var(--s5)}
.legend { display:flex; flex-wrap:wrap; gap:4px 16px; font-size:12.5px;
  color:var(--ink); padding-left:10px; }
.key { display:inline-flex; align-items:center; gap:6px; }
.table { overflow-x:auto; background:var(--card); border-radius:12px;
  border:1px solid var(--grid); }
table { border-collapse:collapse; width:100%; font-size:13px;
  font-variant-numeric:tabular-nums; }
th, td { text-align:right; padding:6px 7px; white-space:nowrap; }
th { white-space:normal; vertical-align:bottom; }
th { color:var(--muted); font-weight:600; }
th:first-child, td:first-child { text-align:left; }
td[title] { color:var(--bad); cursor:help; }
tbody tr { border-top:1px solid var(--grid); }
footer { margin-top:28px; }
"""


def esc(text):
    return html.escape(str(text))


def figure(title, plot, caption):
    return (
        f"<figure><h3>{esc(title)}</h3>{plot}"
        f"<figcaption>{esc(caption)}</figcaption></figure>"
    )


def card(name, value, unit, goal="", is_met=None):
    verdict = ""
    if is_met is not None:
        verdict = (
            '<span class="met">met</span>, '
            if is_met
            else '<span class="missed">missed</span>, '
        )
    return (
        f'<div class="card"><div class="name">{esc(name)}</div>'
        f'<div class="value">{esc(value)} <small>{esc(unit)}</small></div>'
        f'<div class="goal">{verdict}{esc(goal)}</div></div>'
    )


def about(run, name=""):
    """Who ran what, where and when."""
    told, machine = run.about, run.about["machine"]
    prefix = f"<b>{esc(name)}</b>: " if name else ""
    placed = (
        "server and generator on processors of their own"
        if told["is_pinned"]
        else "server and generator on the same processors"
    )
    if told["neighbours"]:
        placed += f", and {told['neighbours']} busy neighbours on the server's"
    if told.get("is_real_time"):
        placed += ", at real-time priority"
    lines = [
        f"{prefix}{esc(told['server'])}, {esc(told['date'])}, on "
        f"{esc(machine['processor'])}, {machine['cpus']} processors, "
        f"{machine['memory_gib']:g} GiB; {esc(placed)}. Load average before: "
        f"{told['load_average_before']:.1f}.",
        f"<code>{esc(told['command'])}</code>",
    ]
    if told["note"]:
        lines.append(esc(told["note"]))
    return "".join(f'<p class="about">{line}</p>' for line in lines)


def cards_of(run, name=""):
    """What matters most, with the goals it is measured against."""
    prefix = f"{name}: " if name else ""
    found = []
    knee = load_runs.knee(run)
    if knee:
        is_bound = load_runs.is_bound_by_generator(run)
        found.append(
            card(
                f"{prefix}knee",
                f"{knee.measured['good_rate']:,.0f}",
                "calls/s" + (" or more" if is_bound else ""),
                "beyond it the generator, not the server, was at its limit"
                if is_bound
                else "the highest rate that the server keeps up with",
            )
        )
    main = run.step("half") or (run.steps[0] if not knee else None)
    if main:
        found += latency_cards(main, prefix)
    if run.step("overload"):
        found += overload_cards(run.step("overload"), prefix)
    return found


def latency_cards(step, prefix):
    latency, noise = step.measured["latency_ms"], step.measured["noise_ms"]
    pauses = step.summary.get("pause_wait_ms")
    where = "at half of the knee" if step.name == "half" else "before"
    if step.name != "half" and step.name != "overload":
        where = "as offered"
    found = [
        card(
            f"{prefix}median, {where}",
            f"{latency['p50']:.2f}",
            "ms",
            f"{latency['count']:,.0f} calls at "
            f"{step.measured['offered_rate']:,.0f}/s",
        )
    ]
    for name, most in (("p99", MAX_P99), ("p99.9", MAX_P999)):
        ratio = latency[name] / max(latency["p50"], 1e-9)
        found.append(
            card(
                f"{prefix}{name}, {where}",
                f"{latency[name]:.2f}",
                "ms",
                f"{ratio:.1f} × the median, at most {most}; the machine alone "
                f"is {noise[name]:.2f} ms late"
                + (
                    f", and pauses for {pauses[name]:.2f} ms" if pauses else ""
                ),
                ratio <= most,
            )
        )
    return found


def overload_cards(step, prefix):
    over = load_runs.overload(step)
    first = load_runs.resident_bytes(step, 1)[-1]
    recovery = over.recovery_seconds
    return [
        card(
            f"{prefix}goodput at twice the knee",
            f"{over.goodput:.2f}",
            "of the knee's",
            f"at least {MIN_GOODPUT}; {over.refused:,.0f} calls refused"
            + ("; void, the generator did not keep up" if over.void else ""),
            None if over.void else over.goodput >= MIN_GOODPUT,
        ),
        card(
            f"{prefix}memory after the overload",
            f"{over.growth_bytes / MIB:+.1f}",
            "MiB",
            f"of {first / MIB:.0f} MiB before; at most "
            f"{MAX_GROWTH_BYTES // MIB} MiB",
            over.growth_bytes <= MAX_GROWTH_BYTES,
        ),
        card(
            f"{prefix}recovery",
            "never" if recovery is None else f"{recovery:.1f}",
            "" if recovery is None else "s",
            f"until calls are answered as before; at most "
            f"{MAX_RECOVERY_SECONDS:g} s",
            None
            if over.void
            else recovery is not None and recovery <= MAX_RECOVERY_SECONDS,
        ),
    ]


def named(runs):
    """Pairs of a run and its name in legends: nothing for a single one."""
    if len(runs) == 1:
        return [(runs[0], "")]
    return list(zip(runs, NAMES_OF_RUNS))


def in_legend(label, name):
    return f"{label}, {name}" if name else label


def by_rate(runs, fields):
    """Lines over the offered rate, one for each field of each run."""
    lines = []
    for i, (run, name) in enumerate(named(runs)):
        steps = [one for one in run.rated if not one.measured["void"]]
        rates = [step.measured["offered_rate"] for step in steps]
        for label, colour, value in fields:
            lines.append(
                Line(
                    in_legend(label, name),
                    rates,
                    [value(step.measured) for step in steps],
                    colour,
                    is_dashed=i > 0,
                    has_dots=True,
                )
            )
    return lines


def knee_marks(runs):
    marks = []
    for run, name in named(runs):
        knee = load_runs.knee(run)
        if knee:
            marks.append(
                (knee.measured["offered_rate"], in_legend("knee", name))
            )
    return marks


def sweep_figures(runs):
    """Throughput, latency and processors against the offered load."""
    highest = max(
        step.measured["offered_rate"] for run in runs for step in run.rated
    )
    ideal = Line("offered", [0, highest], [0, highest], 5, is_dashed=True)
    throughput = [
        ("answered in time", 0, lambda s: s["good_rate"]),
        ("refused", 2, lambda s: s["refused_rate"]),
    ]
    latency = [
        (name, colour, lambda s, name=name: s["latency_ms"][name])
        for name, colour in (("p50", 0), ("p99", 1), ("p99.9", 2))
    ]
    cpus = [
        ("server", 0, lambda s: s.get("server", {}).get("cpus")),
        ("generator", 1, lambda s: s["generator"]["cpus"]),
    ]
    marks = knee_marks(runs)
    return [
        figure(
            "Throughput against offered load",
            load_plots.line_plot(
                "throughput",
                [ideal, *by_rate(runs, throughput)],
                "offered, calls per second",
                "calls per second",
                marks=marks,
                x_range=(0, highest * 1.02),
            ),
            "A dot is a step that is not void. A server that keeps up is on the "
            "dashed line.",
        ),
        figure(
            "Latency against offered load",
            load_plots.line_plot(
                "latency",
                by_rate(runs, latency),
                "offered, calls per second",
                "milliseconds, logarithmic",
                y_is_log=True,
                marks=marks,
                x_range=(0, highest * 1.02),
            ),
            "Counted from the time for which a call was planned, so that "
            "nothing that waits is left out. Exact percentiles of all calls.",
        ),
        figure(
            "Processors against offered load",
            load_plots.line_plot(
                "processors",
                by_rate(runs, cpus),
                "offered, calls per second",
                "processors kept busy",
                marks=marks,
                x_range=(0, highest * 1.02),
            ),
            "User and system time of both processes.",
        ),
    ]


def main_step(run):
    """The step whose latencies speak for the run."""
    return run.step("half") or run.steps[-1]


def percentile_figure(runs):
    curves = []
    for i, (run, name) in enumerate(named(runs)):
        step = main_step(run)
        begin = step.begin_of(step.index)
        end = begin + step.measured["seconds"]
        samples = step.samples
        chosen = (
            (samples.planned >= begin)
            & (samples.planned < end)
            & (samples.outcome == "OK")
        )
        dashed = {"xs": [], "ys": [], "is_dashed": i > 0}
        curves.append(
            (
                Line(in_legend("calls", name), colour=0, **dashed),
                samples.latency[chosen],
            )
        )
        curves.append(
            (
                Line(in_legend("sent late by", name), colour=5, **dashed),
                samples.lag[chosen],
            )
        )
    where = main_step(runs[0])
    return figure(
        "Percentiles of latency",
        load_plots.percentile_plot("percentiles", curves, "milliseconds"),
        f"Step “{where.name}”. The grey line is how late the generator "
        "itself was woken to send: what lies on it is the machine's, not the "
        "server's.",
    )


def story_step(run):
    """The step that changes most over time."""
    return run.step("overload") or run.steps[-1]


def bands_of(step):
    """Names for segments, where there are several."""
    return [
        Band(
            step.begin_of(i),
            step.begin_of(i) + segment["seconds"],
            f"{segment['offered_rate']:,.0f}/s",
        )
        for i, segment in enumerate(step.segments)
    ]


def windows(step):
    """Edges of equal parts of the time, and their middles."""
    total = step.begin_of(len(step.segments))
    width = max(WINDOW_SECONDS, total / WINDOWS)
    edges = np.arange(0, total + width / 2, width)
    return edges, (edges[:-1] + edges[1:]) / 2, width


def rate_lines(step):
    edges, middles, width = windows(step)
    samples = step.samples
    ended = samples.planned + samples.latency * 1e-3
    is_ok = samples.outcome == "OK"
    is_refused = np.array(
        [
            str(name).startswith("RESOURCE_EXHAUSTED")
            for name in samples.outcome
        ],
        dtype=bool,
    )
    is_failed = ~is_ok & ~is_refused

    def rate(times):
        return list(np.histogram(times, edges)[0] / width)

    lines = [
        Line("planned", list(middles), rate(samples.planned), 5),
        Line("answered", list(middles), rate(ended[is_ok]), 0),
    ]
    for label, colour, chosen in (
        ("refused", 2, is_refused),
        ("failed or given up", 1, is_failed),
    ):
        if chosen.any():
            lines.append(
                Line(label, list(middles), rate(ended[chosen]), colour)
            )
    return lines


def story_figures(run, name):
    """What one step did over time."""
    step = story_step(run)
    bands = bands_of(step)
    total = step.begin_of(len(step.segments))
    samples, series = step.samples, step.series
    is_ok = samples.outcome == "OK"
    within = (series["seconds"] >= 0) & (series["seconds"] <= total)
    seconds = list(series["seconds"][within])
    of = f" (run {name})" if name else ""
    found = [
        figure(
            f"Latency over time{of}",
            load_plots.heat_map(
                f"heat{name}",
                samples.planned[is_ok],
                samples.latency[is_ok],
                "seconds",
                "milliseconds, logarithmic",
                bands,
            ),
            f"Step “{step.name}”: every call that was answered, where it "
            "was planned; darker is more, on a logarithmic scale. On top the "
            "offered rates.",
        ),
        figure(
            f"Rates over time{of}",
            load_plots.line_plot(
                f"rates{name}",
                rate_lines(step),
                "seconds",
                "calls per second",
                bands=bands,
                x_range=(0, total),
            ),
            f"Step “{step.name}”: answers where they came.",
        ),
        figure(
            f"Memory over time{of}",
            load_plots.line_plot(
                f"memory{name}",
                [
                    Line(
                        label,
                        seconds,
                        [v / MIB for v in series[column][within]],
                        colour,
                    )
                    for label, column, colour in (
                        ("server", "server_resident_bytes", 0),
                        ("generator", "generator_resident_bytes", 1),
                    )
                ],
                "seconds",
                "resident, MiB",
                bands=bands,
                x_range=(0, total),
            ),
            f"Step “{step.name}”. The generator keeps a record of each call "
            "of the step, and of those under way.",
        ),
        figure(
            f"Calls under way and noise{of}",
            load_plots.line_plot(
                f"noise{name}",
                [
                    Line(
                        "calls under way",
                        seconds,
                        [max(v, 0.1) for v in series["in_flight"][within]],
                        0,
                    ),
                    Line(
                        "noise, ms",
                        seconds,
                        [max(v, 0.01) for v in series["noise_max_ms"][within]],
                        5,
                    ),
                ],
                "seconds",
                "calls; milliseconds; logarithmic",
                y_is_log=True,
                bands=bands,
                x_range=(0, total),
            ),
            "Noise is the most by which a thread that only sleeps was woken "
            "late, in each tenth of a second.",
        ),
    ]
    return found


TABLE = (
    ("step", "step", "{}"),
    ("offered/s", "offered_rate", "{:,.0f}"),
    ("good/s", "good_rate", "{:,.0f}"),
    ("refused/s", "refused_rate", "{:,.0f}"),
    ("failed", "failed_calls", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("p99.9 ms", "p99.9_ms", "{:.2f}"),
    ("p99.99 ms", "p99.99_ms", "{:.2f}"),
    ("noise p99.9", "noise_p99.9_ms", "{:.2f}"),
    ("server CPU s/1000", "server_cpu_seconds_per_1000_calls", "{:.3f}"),
    ("server CPU s/GB", "server_cpu_seconds_per_gb", "{:.2f}"),
    ("generator CPU s/1000", "generator_cpu_seconds_per_1000_calls", "{:.3f}"),
    ("void", "void", "{}"),
)


def table(run):
    head = "".join(f"<th>{esc(title)}</th>" for title, _, _ in TABLE)
    rows = []
    for row in load_runs.step_rows(run):
        if row["segment"] == 0 and len(run.step(row["step"]).segments) == 2:
            # Warming up.
            continue
        cells = ""
        for _, column, form in TABLE:
            value = row.get(column)
            text = form.format(value) if value not in (None, "") else "–"
            if column == "void" and value:
                cells += f'<td title="{esc(text)}">yes</td>'
            else:
                cells += f"<td>{esc(text)}</td>"
        rows.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def outcomes(run):
    """How calls ended that were not answered, over all steps."""
    counts = {}
    for step in run.steps:
        for segment in step.segments:
            for name, count in segment["outcomes"].items():
                counts[name] = counts.get(name, 0) + count
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{esc(n)} {c:,.0f}" for n, c in ordered)


def to_csv(runs):
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["run", *load_runs.STEP_COLUMNS], lineterminator="\n"
    )
    writer.writeheader()
    for run, name in named(runs):
        for row in load_runs.step_rows(run):
            writer.writerow({"run": name or run.folder.name, **row})
    return text.getvalue()


def page(runs):
    """The page, as text."""
    body = ["<h1>tensord under load</h1>"]
    for run, name in named(runs):
        body.append(about(run, name))
    cards = [one for run, name in named(runs) for one in cards_of(run, name)]
    body.append(f'<div class="cards">{"".join(cards)}</div>')
    figures = []
    if all(run.rated for run in runs):
        figures += sweep_figures(runs)
    figures.append(percentile_figure(runs))
    body.append("<h2>Latency and throughput</h2>")
    body.append(f'<div class="figures">{"".join(figures)}</div>')
    body.append("<h2>Over time</h2>")
    stories = [
        one for run, name in named(runs) for one in story_figures(run, name)
    ]
    body.append(f'<div class="figures">{"".join(stories)}</div>')
    for run, name in named(runs):
        body.append(f"<h2>{esc(in_legend('Steps', name))}</h2>{table(run)}")
        body.append(f'<p class="about">All calls: {outcomes(run)}.</p>')
    data = base64.b64encode(to_csv(runs).encode()).decode()
    body.append(
        "<footer>Calls are sent when they are due, whatever became of earlier "
        "ones, and are made once: refusals are not repeated. Good calls are "
        "those answered within their part of the step. A step is void if the "
        "generator itself did not keep up. "
        f'<a download="load.csv" href="data:text/csv;base64,{data}">The '
        "table as CSV</a></footer>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>tensord under load</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args(argv)
    if len(options.runs) > len(NAMES_OF_RUNS):
        sys.exit("there is a page for one run, or for two that are compared")
    try:
        runs = [load_runs.read_run(folder) for folder in options.runs]
    except FileNotFoundError as error:
        sys.exit(f"no run of load_profiles.py: {error.filename} is missing")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(runs), encoding="utf-8")
    options.out.with_suffix(".csv").write_text(to_csv(runs))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
