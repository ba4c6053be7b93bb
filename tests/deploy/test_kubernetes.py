"""What kustomize makes of deploy/kubernetes, and servers started like that."""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import deploy_harness as harness
import grpc
import kubernetes_validate
import pytest
import tensord
import yaml

KUBERNETES = harness.DEPLOY / "kubernetes"
OVERLAYS = ["cpu", "gpu", "tls"]
COMPONENTS = ["tls", "monitoring", "autoscaling"]
# The first that has all that is used here, as pods that sleep before they
# stop, and the last that there are schemas of.
VERSIONS = ["1.30.0", kubernetes_validate.latest_version()]
# Kinds of the Prometheus operator, whose schemas are not Kubernetes'.
FOREIGN = {"ServiceMonitor"}
TLS_FILES = harness.ROOT / "tests/server/testdata/tls"


def kustomize(folder):
    """The resources that kustomize makes, without a word of complaint."""
    done = subprocess.run(
        [pathlib.Path(sys.executable).parent / "kubectl", "kustomize", folder],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def composed(folder, overlay, components):
    """An overlay with components, as users make them of their own."""
    here = os.path.relpath(KUBERNETES, folder)
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{here}/overlays/{overlay}"],
        "components": [f"{here}/components/{one}" for one in components],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(document))
    return kustomize(folder)


BUILDS = [
    *((one, ()) for one in OVERLAYS),
    ("cpu", ("monitoring", "autoscaling")),
    ("gpu", tuple(COMPONENTS)),
]


@pytest.fixture(
    scope="module",
    params=BUILDS,
    ids=lambda build: "+".join([build[0], *build[1]]),
)
def resources(request, tmp_path_factory):
    overlay, components = request.param
    if not components:
        return kustomize(KUBERNETES / "overlays" / overlay)
    return composed(tmp_path_factory.mktemp("overlay"), overlay, components)


def the(resources, kind, name="tensord"):
    [found] = [
        one
        for one in resources
        if one["kind"] == kind and one["metadata"]["name"] == name
    ]
    return found


def pod(resources):
    return the(resources, "StatefulSet")["spec"]["template"]["spec"]


def container(resources):
    [found] = pod(resources)["containers"]
    return found


def variables(resources):
    return {one["name"]: one["value"] for one in container(resources)["env"]}


def speaks_tls(resources):
    return "TENSORD_TLS_CERT" in variables(resources)


def probes(resources):
    found = container(resources)
    return {
        name: found[name]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }


def test_every_file_is_part_of_something():
    used = set()
    for path in KUBERNETES.rglob("kustomization.yaml"):
        document = yaml.safe_load(path.read_text())
        used.add(path)
        for one in [
            *document.get("resources", ()),
            *(patch.get("path") for patch in document.get("patches", ())),
        ]:
            if one and one.endswith(".yaml"):
                used.add(path.parent / one)
    files = {one for one in KUBERNETES.rglob("*") if one.is_file()}
    assert used == files
    for kind, names in (("overlays", OVERLAYS), ("components", COMPONENTS)):
        found = {one.name for one in (KUBERNETES / kind).iterdir()}
        assert found == set(names)


def test_resources_have_the_published_schemas(resources):
    """Without a field that those do not have."""
    for resource in resources:
        if resource["kind"] not in FOREIGN:
            for version in VERSIONS:
                kubernetes_validate.validate(resource, version, strict=True)


def test_a_schema_refuses_what_is_spelled_wrong():
    """That the check above can fail."""
    resource = kustomize(KUBERNETES / "overlays/cpu")[0]
    resource["metadata"]["label"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)


def test_pods_pass_as_restricted(resources):
    """What the namespace's pod security standard asks for, and more."""
    labels = the(resources, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = pod(resources)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(resources)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert spec["automountServiceAccountToken"] is False
    account = the(resources, "ServiceAccount", spec["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(volume.keys() == {"name", "secret"} for volume in volumes(spec))
    user = re.search(
        r"^USER (\d+):", (harness.ROOT / "Dockerfile").read_text(), re.M
    )
    assert spec["securityContext"]["runAsUser"] == int(user[1])


def volumes(spec):
    return spec.get("volumes", [])


def test_images_are_of_this_version(resources):
    suffix = (
        "-cuda" if "TENSORD_CUDA_MEMORY_LIMIT" in variables(resources) else ""
    )
    version = harness.project_version()
    assert container(resources)["image"] == f"tensord:{version}{suffix}"


def test_there_is_memory_enough(resources):
    sizes = container(resources)["resources"]
    assert sizes["limits"].items() <= sizes["requests"].items()
    limit = harness.size_bytes(variables(resources)["TENSORD_MEMORY_LIMIT"])
    assert harness.suffices(
        harness.size_bytes(sizes["limits"]["memory"]), limit
    )
    # A device for those that were told what to do with one, and for no other.
    assert ("nvidia.com/gpu" in sizes["limits"]) is (
        "TENSORD_CUDA_MEMORY_LIMIT" in variables(resources)
    )


def test_there_is_time_to_stop(resources):
    drain = int(variables(resources)["TENSORD_DRAIN_SECONDS"])
    sleep = container(resources)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod(resources)["terminationGracePeriodSeconds"]
    assert grace >= sleep + drain + harness.STOP_SECONDS


def test_variables_are_known(resources, help_text):
    names = {one for one in variables(resources) if one.startswith("TENSORD_")}
    assert names <= harness.known_variables(help_text)
    # Kubernetes would add others, of the service.
    assert pod(resources)["enableServiceLinks"] is False
    assert "args" not in container(resources)


def test_probes_suit_what_the_port_speaks(resources, help_text):
    """The kubelet's own speak no TLS."""
    for probe in probes(resources).values():
        assert speaks_tls(resources) is ("exec" in probe)
        assert speaks_tls(resources) is ("grpc" not in probe)
        if "exec" in probe:
            name, flag = probe["exec"]["command"]
            assert name == "tensord"
            assert flag.partition("=")[0] in harness.known_flags(help_text)
            # `tensord --probe` gives up after 3 s.
            assert probe["timeoutSeconds"] > 3
        else:
            assert probe["grpc"]["port"] == port_of(
                variables(resources)["TENSORD_LISTEN"]
            )


def port_of(address):
    return int(address.rpartition(":")[2])


def test_plaintext_is_for_those_who_say_so(resources):
    insecure = variables(resources)["TENSORD_INSECURE"]
    assert insecure == ("false" if speaks_tls(resources) else "true")


def test_ports_are_those_that_are_listened_on(resources):
    ports = {
        one["name"]: one["containerPort"]
        for one in container(resources)["ports"]
    }
    assert ports == {
        "grpc": port_of(variables(resources)["TENSORD_LISTEN"]),
        "metrics": port_of(variables(resources)["TENSORD_METRICS_LISTEN"]),
    }
    for name, expected in (
        ("tensord", {"grpc"}),
        ("tensord-pods", {"grpc", "metrics"}),
    ):
        service = the(resources, "Service", name)["spec"]
        assert {one["targetPort"] for one in service["ports"]} == expected
        for one in service["ports"]:
            assert one["port"] == ports[one["targetPort"]]
        protocol = service["ports"][0]["appProtocol"]
        wanted = "https" if speaks_tls(resources) else "kubernetes.io/h2c"
        assert protocol == wanted


def test_all_speak_of_the_same_pods(resources):
    selected = {"app.kubernetes.io/name": "tensord"}
    spec = the(resources, "StatefulSet")["spec"]
    assert spec["template"]["metadata"]["labels"] == selected
    [spread] = pod(resources)["topologySpreadConstraints"]
    for selector in (
        spec["selector"],
        spread["labelSelector"],
        the(resources, "PodDisruptionBudget")["spec"]["selector"],
        the(resources, "NetworkPolicy")["spec"]["podSelector"],
    ):
        assert selector == {"matchLabels": selected}
    for name in ("tensord", "tensord-pods"):
        assert the(resources, "Service", name)["spec"]["selector"] == selected
    headless = the(resources, "Service", spec["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    namespaces = {
        one["metadata"]["namespace"]
        for one in resources
        if one["kind"] != "Namespace"
    }
    assert namespaces == {the(resources, "Namespace")["metadata"]["name"]}


def test_only_clients_and_the_monitoring_get_in(resources):
    policy = the(resources, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    [calls, scrapes] = policy["ingress"]
    # One entry: pods that are clients, wherever they are, and not all pods.
    assert calls == {
        "from": [
            {
                "namespaceSelector": {},
                "podSelector": {"matchLabels": {"tensord/client": "true"}},
            }
        ],
        "ports": [{"port": "grpc"}],
    }
    assert [one["port"] for one in scrapes["ports"]] == ["metrics"]
    assert scrapes["from"]


def test_clients_stay_with_a_replica(resources):
    service = the(resources, "Service")["spec"]
    assert service["sessionAffinity"] == "ClientIP"


def test_secrets_are_files_that_only_the_group_reads(resources):
    mounts = {
        one["name"]: one
        for one in container(resources).get("volumeMounts", ())
    }
    assert mounts.keys() == {one["name"] for one in volumes(pod(resources))}
    for volume in volumes(pod(resources)):
        assert volume["secret"]["defaultMode"] == 0o440
        assert mounts[volume["name"]]["readOnly"] is True
        # Of a file alone, what is replaced would not be seen.
        assert "subPath" not in mounts[volume["name"]]
    named = [
        value
        for name, value in variables(resources).items()
        if name.endswith(("CERT", "KEY", "TOKENS"))
    ]
    paths = [one["mountPath"] for one in mounts.values()]
    assert all(pathlib.Path(one).parent.as_posix() in paths for one in named)
    # Secrets are for who runs it to make.
    assert not [one for one in resources if one["kind"] == "Secret"]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    return composed(tmp_path_factory.mktemp("overlay"), "tls", COMPONENTS[1:])


def test_prometheus_finds_every_replica_once(complete):
    monitor = the(complete, "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    spec = monitor["spec"]
    [endpoint] = spec["endpoints"]
    services = [
        one
        for one in complete
        if one["kind"] == "Service"
        and spec["selector"]["matchLabels"].items()
        <= one["metadata"]["labels"].items()
        and endpoint["port"] in {p["name"] for p in one["spec"]["ports"]}
    ]
    assert [one["metadata"]["name"] for one in services] == ["tensord-pods"]
    # The job that rules and dashboard look for.
    assert services[0]["metadata"]["labels"][spec["jobLabel"]] == "tensord"
    assert endpoint["scheme"] == "http"
    assert endpoint["path"] == "/metrics"
    configuration = harness.load("prometheus/prometheus.yaml")
    assert endpoint["interval"] == configuration["global"]["scrape_interval"]
    job = configuration["scrape_configs"][0]
    assert spec["sampleLimit"] == job["sample_limit"]


def test_replicas_are_added_but_not_taken_away(complete):
    scaler = the(complete, "HorizontalPodAutoscaler")["spec"]
    target = the(complete, scaler["scaleTargetRef"]["kind"])
    assert scaler["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"],
        "kind": target["kind"],
        "name": target["metadata"]["name"],
    }
    assert "replicas" not in target["spec"]
    assert scaler["behavior"]["scaleDown"] == {"selectPolicy": "Disabled"}


def page_block(language, word):
    """The block of deploy/operating.md in which a word is."""
    page = (harness.DEPLOY / "operating.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)
    [found] = [one for one in blocks if word in one]
    return found


def test_the_page_composes_as_users_would(tmp_path):
    """Of overlays and components, with an image of their own."""
    block = page_block("text", "kind: Kustomization")
    (tmp_path / "tensord").symlink_to(harness.ROOT)
    (tmp_path / "kustomization.yaml").write_text(block)
    resources = kustomize(tmp_path)
    assert speaks_tls(resources)
    assert the(resources, "ServiceMonitor")
    image = f"images.example/tensord:{harness.project_version()}-cuda"
    assert container(resources)["image"] == image


def test_the_page_makes_a_resource_of_the_rules(tmp_path):
    (tmp_path / "deploy").symlink_to(harness.DEPLOY)
    block = page_block("console", "PrometheusRule")
    script = re.sub(r"^[$>] ", "", block, flags=re.MULTILINE)
    script, _, applied = script.strip().rpartition("\n")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    name = applied.split()[-1]
    rule = yaml.safe_load((tmp_path / name).read_text())
    assert rule == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tensord", "namespace": "tensord"},
        "spec": harness.load("prometheus/rules.yaml"),
    }


class Kubelet:
    """Starts the server as a pod's container, on addresses of the loopback.

    Secrets are in folders as the kubelet lays them out: files are links into
    `..data`, a link that is swapped when the secret changes.
    """

    def __init__(self, folder, resources, secrets):
        self._folder = folder
        self._versions = itertools.count()
        self.variables = dict(variables(resources))
        self.target = f"127.0.0.1:{harness.free_port()}"
        self.variables["TENSORD_LISTEN"] = self.target
        metrics = f"127.0.0.1:{harness.free_port()}"
        self.variables["TENSORD_METRICS_LISTEN"] = metrics
        for volume in volumes(pod(resources)):
            name = volume["secret"]["secretName"]
            [mount] = [
                one["mountPath"]
                for one in container(resources)["volumeMounts"]
                if one["name"] == volume["name"]
            ]
            (folder / name).mkdir()
            self.write(name, secrets[name])
            for key in secrets[name]:
                (folder / name / key).symlink_to(f"..data/{key}")
            for variable, value in self.variables.items():
                self.variables[variable] = value.replace(
                    f"{mount}/", f"{folder / name}/"
                )

    def write(self, secret, files):
        version = self._folder / secret / f"..{next(self._versions)}"
        version.mkdir()
        for key, content in files.items():
            (version / key).write_text(content)
        link = self._folder / secret / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self._folder / secret / "..data")

    def running(self):
        return harness.server(self._folder, env=self.variables)

    def probe(self, probe):
        """Whether a probe of the pod succeeds."""
        if "grpc" in probe:
            with contextlib.suppress(grpc.RpcError):
                return harness.is_serving(
                    self.target, probe["grpc"]["service"]
                )
            return False
        command = [harness.server_binary(), *probe["exec"]["command"][1:]]
        return harness.run(*command, env=self.variables).returncode == 0


def token_line(token):
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"tokens": f"sha256:{digest} team-a read,write\n"}


SECRETS = {
    "tensord-tls": {
        "tls.crt": (TLS_FILES / "server.pem").read_text(),
        "tls.key": (TLS_FILES / "server.key").read_text(),
    },
    "tensord-tokens": token_line("first"),
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_server_started_like_that_is_well(overlay, tmp_path):
    resources = kustomize(KUBERNETES / "overlays" / overlay)
    kubelet = Kubelet(tmp_path, resources, SECRETS)
    with kubelet.running():
        for name, probe in probes(resources).items():
            assert kubelet.probe(probe), name


def test_a_pod_takes_new_tokens_as_the_kubelet_brings_them(tmp_path):
    resources = kustomize(KUBERNETES / "overlays/tls")
    kubelet = Kubelet(tmp_path, resources, SECRETS)

    def is_let_in(token):
        try:
            with tensord.connect(
                kubelet.target,
                token=token,
                tls_ca=TLS_FILES / "ca.pem",
                max_attempts=1,
            ) as client:
                return len(client.devices()) > 0
        except tensord.TensordError:
            return False

    with kubelet.running():
        assert is_let_in("first")
        assert not is_let_in("second")
        assert not is_let_in(None)
        kubelet.write("tensord-tokens", token_line("second"))
        harness.wait_for("the new token", lambda: is_let_in("second"))
        assert not is_let_in("first")


def test_probes_of_a_server_that_is_not_there_fail(tmp_path):
    for overlay in ("cpu", "tls"):
        resources = kustomize(KUBERNETES / "overlays" / overlay)
        folder = tmp_path / overlay
        folder.mkdir()
        kubelet = Kubelet(folder, resources, SECRETS)
        assert not any(map(kubelet.probe, probes(resources).values()))
