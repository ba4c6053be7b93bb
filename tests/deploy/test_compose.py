"""The compose file is valid, closed to others, and starts what it says."""

import re

import deploy_harness as harness
import pytest
import yaml

PATH = harness.DEPLOY / "compose.yaml"


@pytest.fixture(scope="module")
def services():
    done = harness.run("docker-compose", "-f", PATH, "config")
    assert done.returncode == 0, done.stdout
    # Complaints would be in front of the document.
    return yaml.safe_load(done.stdout)["services"]


NAMES = ["tensord", "prometheus", "grafana"]


def test_there_are_three(services):
    assert services.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_services_are_closed(services, name):
    service = services[name]
    assert service["ports"]
    assert all(one.startswith("127.0.0.1:") for one in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", NAMES)
def test_services_have_limits(services, name):
    service = services[name]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"] > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_what_is_mounted_is_there():
    document = yaml.safe_load(PATH.read_text())
    named = set()
    for service in document["services"].values():
        for volume in service.get("volumes", ()):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (harness.DEPLOY / source).is_dir()
                assert rest.endswith(":ro")
            else:
                named.add(source)
    assert named == document["volumes"].keys()


def test_the_image_is_the_version_of_the_project(services):
    image = services["tensord"]["image"]
    assert image == f"tensord:{harness.project_version()}"


def test_ports_are_those_of_the_image(services):
    variables = harness.image_variables()
    inside = {
        variables[name].rpartition(":")[2]
        for name in ("TENSORD_LISTEN", "TENSORD_METRICS_LISTEN")
    }
    published = services["tensord"]["ports"]
    assert {one.split(":")[2].partition("/")[0] for one in published} == inside
    exposed = re.search(
        r"^EXPOSE (.*)$", (harness.ROOT / "Dockerfile").read_text(), re.M
    )
    assert set(exposed[1].split()) == inside
    # Which is where Prometheus looks.
    [job, _] = harness.load("prometheus/prometheus.yaml")["scrape_configs"]
    [group] = job["static_configs"]
    assert group["targets"] == [
        "tensord:" + variables["TENSORD_METRICS_LISTEN"].rpartition(":")[2]
    ]


def test_there_is_memory_and_time_enough(services, help_text):
    service = services["tensord"]
    variables = service["environment"]
    limit = harness.size_bytes(variables["TENSORD_MEMORY_LIMIT"])
    assert harness.suffices(harness.size_bytes(service["mem_limit"]), limit)
    drain = re.search(r"--drain_seconds.*?Default: (\d+)", help_text, re.S)[1]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace >= int(drain) + harness.STOP_SECONDS


def test_what_compose_starts_serves_and_is_probed(
    services, help_text, tmp_path
):
    """With the variables of the image and of the file."""
    service = services["tensord"]
    # Its probe would know nothing of flags.
    assert "command" not in service
    assert service["environment"].keys() <= harness.known_variables(help_text)
    grpc_port, metrics_port = harness.free_port(), harness.free_port()
    variables = {
        **harness.image_variables(),
        **service["environment"],
        "TENSORD_LISTEN": f"127.0.0.1:{grpc_port}",
        "TENSORD_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
    }
    test = service["healthcheck"]["test"][1:]
    assert test[0] == "tensord"
    probe = [harness.server_binary(), *test[1:]]
    with harness.server(tmp_path, env=variables):
        assert harness.is_serving(f"127.0.0.1:{grpc_port}", "")
        done = harness.run(*probe, env=variables)
        assert done.returncode == 0, done.stdout
    assert harness.run(*probe, env=variables).returncode == 1
