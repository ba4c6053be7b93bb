"""The files of deploy/, and the programs that take them."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_process import environment, server_binary

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
START_SECONDS = 60

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# What deploy/operating.md asks for beside --memory_limit: an eighth of it for
# free blocks, this for each tensor, and that for everything else.
BYTES_OF_TENSOR = KIB
OTHER_BYTES = 512 * MIB
# And between SIGTERM and SIGKILL beside --drain_seconds.
STOP_SECONDS = 5


def load(path):
    """The document of a YAML file under deploy/."""
    return yaml.safe_load((DEPLOY / path).read_text())


def metrics_rules(kind):
    """The rules of deploy/prometheus/rules.yaml that are of a kind."""
    groups = load("prometheus/rules.yaml")["groups"]
    return [rule for one in groups for rule in one["rules"] if kind in rule]


def project_version():
    source = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"^project\(tensord VERSION (\S+)", source, re.M)[1]


def image_variables():
    """The variables that the Dockerfile gives the entry point."""
    source = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ENV (.*)$", source, re.MULTILINE)
    return dict(one.split("=", 1) for line in lines for one in line.split())


def help_text():
    done = run(server_binary(), "--help")
    assert done.returncode == 0
    return done.stdout


def run(*command, env=None, timeout=60):
    """Runs a command with `env` beside what servers of tests inherit."""
    return subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env=environment(env),
    )


def known_variables(text):
    """The environment variables that `tensord --help` names."""
    return set(re.findall(r"^  --\S+   (TENSORD_[A-Z_]+)$", text, re.M))


def known_flags(text):
    """The flags that `tensord --help` names."""
    plain = set(re.findall(r"(?:^  |, )(--[a-z_]+)", text, re.M))
    negatable = re.findall(r"^  --\[no\]([a-z_]+)", text, re.M)
    return plain.union(*({f"--{one}", f"--no{one}"} for one in negatable))


def size_bytes(text):
    """A size as Kubernetes, Compose or tensord writes it."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(text)).groups()
    powers = {"k": KIB, "m": MIB, "g": GIB}
    binary = re.fullmatch(r"([kmg])(i|ib)?", unit.lower())
    return int(number) * (powers[binary[1]] if binary else 1)


def max_tensors():
    """How many tensors a server holds by default."""
    described = r"^  --max_tensors=.*?Default: (\d+)\."
    return int(re.search(described, help_text(), re.M | re.S)[1])


def suffices(container_bytes, memory_limit):
    """Whether a server with that limit gets by with so much memory."""
    blocks = memory_limit * 9 // 8
    tensors = max_tensors() * BYTES_OF_TENSOR
    return container_bytes >= blocks + tensors + OTHER_BYTES


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(command, log, **options):
    """A process until the end of the block; it is asked to stop, then told."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **options,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(what, condition, seconds=START_SECONDS, log=None):
    """The first value of the condition that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        said = log.read_text(errors="replace") if log else ""
        assert time.monotonic() < deadline, f"{what}\n{said[-4000:]}"
        time.sleep(0.05)


def is_serving(target, service):
    """Whether a server answers SERVING for a service, as the kubelet asks."""
    with grpc.insecure_channel(target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service),
            timeout=START_SECONDS,
        )
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextlib.contextmanager
def server(folder, *flags, env=None, binary=None):
    """A server process, its log, once it is ready."""
    log = pathlib.Path(folder) / f"server_{free_port()}.log"
    command = [binary or server_binary(), *flags]
    with running(command, log, env=environment(env)) as process:

        def is_ready():
            assert process.poll() is None, log.read_text()
            return re.search(r"^ready|\"ready\"", log.read_text(), re.M)

        wait_for("a server that is ready", is_ready, log=log)
        yield process, log


class Prometheus:
    """Asks a Prometheus over HTTP."""

    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(
                f"{self._url}/api/v1/{path}?{query}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read()}") from error

    def now(self, expression):
        """Samples of an instant query, by their labels."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def over(self, expression, start, end, step=0.5):
        """Series of a range query: labels, and their numbers."""
        found = self.ask(
            "query_range", query=expression, start=start, end=end, step=step
        )["result"]
        return [
            (one["metric"], [float(value) for _, value in one["values"]])
            for one in found
        ]

    def firing(self):
        """Names of alerts that fire now, with the labels of each."""
        return {
            (one["labels"]["alertname"], one["labels"].get("instance"))
            for one in self.ask("alerts")["alerts"]
            if one["state"] == "firing"
        }
