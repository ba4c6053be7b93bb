"""What is made of a server's metrics."""

import math
import random

import pytest
from tensord.tensorctl._exit import CommandError, Exit
from tensord.tensorctl._metrics import (
    Snapshot,
    buckets,
    fetch,
    growth,
    parse,
    quantile,
)
from tensord.tensorctl._top import facts_of, metrics_url

prometheus = pytest.importorskip("prometheus_client")

BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0)
LABELS = ["a", "cuda:0", 'quo"te', "back\\slash", "new\nline", "", "ä", "a,b"]


def exposed(pick):
    """A page of metrics, and what it holds."""
    registry = prometheus.CollectorRegistry()
    counter = prometheus.Counter(
        "calls", "Calls.", ["of", "by"], registry=registry
    )
    gauge = prometheus.Gauge("now", 'Now "and"\nthen.', registry=registry)
    values = {}
    for of in pick.sample(LABELS, 4):
        for by in pick.sample(LABELS, 2):
            value = pick.choice([0, 1, 0.5, 1e18, pick.random()])
            counter.labels(of, by).inc(value)
            values[(of, by)] = value
    now = pick.choice([0.0, -1.5, math.inf, 1e-300])
    gauge.set(now)
    return prometheus.generate_latest(registry).decode(), values, now


def test_metrics_read_back():
    pick = random.Random(1)
    for _ in range(200):
        text, values, now = exposed(pick)
        found = parse(text, 1.0)
        assert found.total("now") == now
        assert found.total("calls_total") == pytest.approx(
            sum(values.values())
        )
        for (of, by), value in values.items():
            assert found.total("calls_total", of=of, by=by) == value
        sums = {}
        for (of, _), value in values.items():
            sums[of] = sums.get(of, 0) + value
        assert found.by_label("calls_total", "of") == pytest.approx(sums)
        assert found.by_label("now", "of") == {}


def test_damaged_metrics_are_refused_or_read():
    """Never anything but metrics or an error that says so."""
    pick = random.Random(2)
    refused = 0
    for _ in range(500):
        text, _, _ = exposed(pick)
        place = pick.randrange(len(text))
        damaged = (
            text[:place] + pick.choice('"{}\\,=\n x1') + text[place + 1 :]
        )
        try:
            parse(damaged, 1.0)
        except CommandError as error:
            assert error.exit_code is Exit.INTERNAL
            refused += 1
    assert refused > 20


def test_quantiles_lie_in_the_bucket_of_the_true_one():
    pick = random.Random(3)
    for _ in range(300):
        registry = prometheus.CollectorRegistry()
        histogram = prometheus.Histogram(
            "h", "H.", buckets=BOUNDS, registry=registry
        )
        seen = sorted(
            10 ** pick.uniform(-4, 2) for _ in range(pick.randrange(1, 50))
        )
        for one in seen:
            histogram.observe(one)
        page = parse(prometheus.generate_latest(registry).decode(), 1.0)
        found = buckets(page, "h")
        shares = sorted(pick.random() for _ in range(5))
        values = [quantile(share, found.items()) for share in shares]
        assert values == sorted(values)
        for share, value in zip(shares, values, strict=True):
            true = seen[max(0, math.ceil(share * len(seen)) - 1)]
            if true > BOUNDS[-1]:
                assert value == BOUNDS[-1]
                continue
            high = min(one for one in BOUNDS if true <= one)
            low = max((one for one in BOUNDS if one < high), default=0.0)
            assert low <= value <= high


def test_there_is_no_quantile_of_nothing():
    assert math.isnan(quantile(0.5, []))
    assert math.isnan(quantile(0.5, [(1.0, 0.0), (math.inf, 0.0)]))


def snapshot(seconds, **values):
    return Snapshot(seconds, {(key, ()): one for key, one in values.items()})


def test_counters_grow():
    before = snapshot(1.0, a_total=5.0, b_total=7.0)
    after = snapshot(3.0, a_total=9.0, b_total=7.0, c_total=2.0)
    grown = growth(before, after)
    assert grown.seconds == 2.0
    assert [grown.total(f"{one}_total") for one in "abc"] == [4.0, 0.0, 2.0]


def test_a_server_that_was_started_again_counts_from_zero():
    before = snapshot(1.0, a_total=5.0, b_total=7.0)
    grown = growth(before, snapshot(2.0, a_total=3.0, b_total=8.0))
    assert [grown.total(f"{one}_total") for one in "ab"] == [3.0, 8.0]


def test_what_top_tells():
    def page(seconds, calls, errors, slow):
        ok = {"grpc_method": "GetTensor", "grpc_code": "OK"}
        bad = {**ok, "grpc_code": "NOT_FOUND"}
        latency = "grpc_server_handling_seconds_bucket"
        cpu = {"device": "cpu"}
        samples = [
            ("grpc_server_handled_total", ok, calls),
            ("grpc_server_handled_total", bad, errors),
            ("grpc_server_handled_total", {"grpc_method": "Batch"}, 3),
            ("tensord_call_received_bytes_total", ok, 100 * calls),
            ("tensord_call_sent_bytes_total", ok, 10 * calls),
            (latency, {"grpc_method": "GetTensor", "le": "0.1"}, slow),
            (latency, {"grpc_method": "GetTensor", "le": "+Inf"}, slow),
            ("tensord_inflight_rpcs", {}, 2),
            ("process_resident_memory_bytes", {}, 1000),
            ("tensord_tensors", {**cpu, "tenant": "x"}, 4),
            ("tensord_tensors", {**cpu, "tenant": "y"}, 5),
            ("tensord_memory_bytes", {**cpu, "kind": "stored"}, 70),
            ("tensord_memory_bytes", {**cpu, "kind": "reserved"}, 7),
            ("tensord_memory_limit_bytes", cpu, 100),
            ("tensord_device_in_service", cpu, 1),
        ]
        return Snapshot(
            seconds,
            {
                (name, tuple(sorted(labels.items()))): float(value)
                for name, labels, value in samples
            },
        )

    found = facts_of(page(10.0, 50, 1, 8), page(12.0, 150, 5, 16))
    [method] = found.pop("methods")
    rates = {
        "calls_per_second": 52.0,
        "errors_per_second": 2.0,
        "received_bytes_per_second": 5000.0,
        "sent_bytes_per_second": 500.0,
        "p50_seconds": 0.05,
        "p99_seconds": pytest.approx(0.099),
    }
    assert method == {"method": "GetTensor", **rates}
    assert found == {
        "seconds": 2.0,
        "in_flight": 2,
        "resident_bytes": 1000,
        "devices": [
            {
                "device": "cpu",
                "tensors": 9,
                "memory_used_bytes": 77,
                "memory_limit_bytes": 100,
                "in_service": True,
            }
        ],
        **rates,
    }


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("localhost:50051", "localhost"),
        ("a.example:7", "a.example"),
        ("[::1]:50051", "[::1]"),
        ("dns:///a.example:7", "a.example"),
        ("unix:/run/tensord.sock", "localhost"),
    ],
)
def test_where_metrics_are(target, host):
    assert metrics_url(target) == f"http://{host}:9464/metrics"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "nonsense"])
def test_no_metrics(url):
    with pytest.raises(CommandError, match="no metrics at") as refused:
        fetch(url, 1.0)
    assert refused.value.exit_code is Exit.UNAVAILABLE
