"""info, devices, top and bench."""

import http.server
import json
import os
import re
import select
import threading
import time

import pytest


def metrics_of(server):
    return re.search(r"metrics on (\S+)", server.log())[1]


@pytest.fixture
def url(server):
    pytest.importorskip("prometheus_client")
    address = metrics_of(server)
    if not address.startswith("http"):
        address = f"http://{address}/metrics"
    return address


# info, devices


def test_info(ctl, server, c):
    ran = ctl("info")
    assert ran.code == 0
    found = dict(re.split("  +", one, maxsplit=1) for one in ran.lines)
    assert found["server"] == server.target
    assert found["version"] == c.server_info().version
    assert found["largest chunk"] == "4.00 MiB"
    assert "float8_e5m2" in ran.out


def test_info_json(ctl, server, c):
    found = ctl("info", "--json").json
    info = c.server_info()
    assert found["target"] == server.target
    assert found["version"] == info.version
    assert found["max_tensor_bytes"] == info.max_tensor_bytes
    assert found["memory_limit_bytes"] == info.memory_limit_bytes
    assert "bfloat16" in found["dtypes"]
    assert found["devices"] == [str(one) for one in info.devices]
    assert set(found) == {
        "target",
        "version",
        "start_time",
        "cuda_built",
        "cuda_unavailable",
        "devices",
        "dtypes",
        "memory_limit_bytes",
        "max_tensors",
        "max_tensor_bytes",
        "max_dimensions",
        "max_message_bytes",
        "max_chunk_bytes",
        "max_upload_parts",
    }


def test_devices(ctl, c):
    head, cpu, *_ = ctl("devices").lines
    assert head.split()[:2] == ["DEVICE", "USED"]
    assert cpu.startswith("cpu")
    assert "in service" in cpu
    found = ctl("devices", "--json").json
    assert [one["device"] for one in found] == [
        str(one.device) for one in c.devices()
    ]
    assert found[0]["in_service"] is True
    assert found[0]["out_of_service"] == ""
    assert found[0]["memory_limit_bytes"] == c.devices()[0].memory_limit_bytes


# top


def test_top_shows_lines(ctl, c, url):
    ran = ctl("top", "--metrics", url, "--count", "2", "--interval", "50ms")
    assert ran.code == 0
    assert len(ran.lines) == 2
    assert re.search(r" calls/s .* in flight \d+  cpu \d+ tensors", ran.out)
    assert "\x1b" not in ran.out


def test_top_json_is_an_object_a_line(ctl, url):
    ran = ctl(
        "top", "--metrics", url, "--count", "2", "--interval", "50ms", "--json"
    )
    for line in ran.lines:
        found = json.loads(line)
        assert found["seconds"] >= 0.05
        assert found["devices"][0]["device"] == "cpu"
    assert len(ran.lines) == 2


def test_top_sees_calls(ctl, c, url):
    """Those of this client, which go on while it looks."""
    over = threading.Event()

    def call():
        while not over.wait(0.005):
            c.server_info()
            c.convert([1.0] * 1000, "float16")

    caller = threading.Thread(target=call)
    caller.start()
    try:
        found = ctl(
            "top", "--once", "--json", "--metrics", url, "--interval", "500ms"
        ).json
    finally:
        over.set()
        caller.join()
    methods = {one["method"]: one for one in found["methods"]}
    assert methods["GetServerInfo"]["calls_per_second"] > 0
    assert methods["GetServerInfo"]["p99_seconds"] > 0
    assert methods["ConvertArray"]["received_bytes_per_second"] > 4000
    assert found["calls_per_second"] >= sum(
        one["calls_per_second"] for one in found["methods"]
    ) * (1 - 1e-9)


def read_all(terminal, seconds=30):
    """What came to a terminal until its other end was closed."""
    found = b""
    deadline = time.monotonic() + seconds
    while select.select([terminal], [], [], deadline - time.monotonic())[0]:
        try:
            found += os.read(terminal, 4096)
        except OSError:
            return found.decode()
    raise AssertionError(found)


def test_top_draws_on_a_terminal(terminal, url):
    child, ours = terminal(
        "top", "--metrics", url, "--count", "2", "--interval", "50ms"
    )
    drawn = read_all(ours)
    assert child.wait(30) == 0
    pictures = drawn.split("\x1b[H\x1b[J")[1:]
    assert len(pictures) == 2
    for picture in pictures:
        assert "METHOD" in picture
        assert "DEVICE" in picture


def test_top_without_metrics(ctl):
    ran = ctl("top", "--once", "--metrics", "http://127.0.0.1:1/metrics")
    assert ran.code == 7
    assert "--metrics" in ran.err


@pytest.fixture
def page():
    """Serves what a test puts in it."""
    body = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body[0])

        def log_message(self, *_):
            pass

    served = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield body, f"http://127.0.0.1:{served.server_port}/"
    served.shutdown()
    thread.join()
    served.server_close()


def test_top_of_another_page(ctl, page):
    pytest.importorskip("prometheus_client")
    body, url = page
    body.append(b"<html>{not metrics}</html>\n")
    ran = ctl("top", "--once", "--metrics", url)
    assert ran.code == 10
    assert "no metrics of Prometheus" in ran.err


# bench


def check_rates(one, key):
    assert 0 < one["slowest_round"] <= one[key] <= one["fastest_round"]


def test_bench_json(ctl, c, server):
    before = c.list()
    found = ctl(
        "bench", "--json", "--rounds", "2", "--sizes", "4KiB,1MiB"
    ).json
    assert (found["target"], found["rounds"]) == (server.target, 2)
    assert len(found["calls"]) == 3
    for one in found["calls"]:
        check_rates(one, "calls_per_second")
        percentiles = [one[f"p{which}_seconds"] for which in (50, 90, 99)]
        assert 0 < percentiles[0] <= percentiles[1] <= percentiles[2]
    moved = [
        (one["transfer"].split()[0], one["size_bytes"])
        for one in found["transfers"]
    ]
    assert moved == [
        (kind, size)
        for size in (4096, 1 << 20)
        for kind in ("upload", "download", "convert")
    ]
    for one in found["transfers"]:
        check_rates(one, "bytes_per_second")
    assert c.list() == before


def test_bench_is_a_table(ctl):
    ran = ctl("bench", "--rounds", "1", "--sizes", "4KiB")
    assert ran.code == 0
    assert "medians of 1 rounds" in ran.out
    assert len(ran.lines) == 2 + 4 + 1 + 4
    assert "measuring" in ran.err
    assert ctl("bench", "-q", "--rounds", "1", "--sizes", "4KiB").err == ""


def test_bench_of_what_the_server_can_not_take(ctl):
    ran = ctl("bench", "--sizes", "1000TiB")
    assert ran.code == 2
    assert "largest tensor" in ran.err
