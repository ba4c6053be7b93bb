"""Prometheus, with the files that are shipped, watches servers under load."""

import json
import math
import re

import deploy_harness as harness
import pytest
import watched_servers

METRIC = re.compile(
    r"\b(?:\w+:)?(?:tensord|grpc_server|process)_\w+(?::\w+)?|\bup\b"
)
RECORDING = harness.metrics_rules("record")
DASHBOARD = json.loads(
    (harness.DEPLOY / "grafana/dashboards/tensord.json").read_text()
)
PANELS = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
VARIABLES = [
    one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"
]
# What Grafana fills in where everything is chosen.
FILLED_IN = {
    "$job": ".*",
    "$instance": ".*",
    "$device": ".*",
    "$__rate_interval": "4m",
}
# Where nothing but zero is good news, and comes of this load.
GOOD_ZEROS = {
    "The server's own faults",
    "Uploads to be gone on with",
}


def filled_in(expression):
    for name, value in FILLED_IN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return watched_servers.sooner(expression)


def seen(watched, expression):
    """Series with a number at some time: their labels and numbers."""
    found = []
    for labels, numbers in watched.prometheus.over(
        expression, watched.start, watched.end
    ):
        finite = [one for one in numbers if math.isfinite(one)]
        if finite:
            found.append((labels, finite))
    return found


def test_targets_are_up(watched):
    found = {
        one["scrapeUrl"].split("/")[2]: one["health"]
        for one in watched.prometheus.ask("targets")["activeTargets"]
    }
    assert found == dict.fromkeys(watched.targets, "up")


def test_compose_asks_where_prometheus_answers(watched):
    service = harness.load("compose.yaml")["services"]["prometheus"]
    *command, url = service["healthcheck"]["test"]
    assert command == ["CMD", "wget", "-q", "-O", "/dev/null"]
    assert url == "http://localhost:9090/-/ready"
    assert watched.prometheus.is_ready()


def test_rules_are_evaluated(watched):
    groups = watched.prometheus.ask("rules")["groups"]
    found = {one["name"]: one["health"] for g in groups for one in g["rules"]}
    expected = {
        one.get("record") or one["alert"]
        for kind in ("record", "alert")
        for one in harness.metrics_rules(kind)
    }
    assert found == dict.fromkeys(expected, "ok")


@pytest.mark.parametrize("rule", RECORDING, ids=lambda one: one["record"])
def test_every_recording_rule_yields_numbers(watched, rule):
    found = seen(watched, rule["record"])
    assert found
    # Labels of the scrape are kept, for those who scale or route by them.
    assert all({"job", "instance"} <= labels.keys() for labels, _ in found)
    assert max(max(numbers) for _, numbers in found) > 0


def test_alerts_fire_and_clear(watched):
    # How fast calls are says more about the machine.
    of_the_machine = {"TensordSlow", "TensordOverloaded"}
    assert watched.fired - of_the_machine == watched_servers.EXPECTED_ALERTS
    assert watched.firing_at_the_end == set()


def test_what_rules_ask_for_is_there(watched):
    """A metric that is called otherwise would never alert."""
    for kind in ("record", "alert"):
        for rule in harness.metrics_rules(kind):
            expression = re.sub(r'"[^"]*"', '""', rule["expr"])
            names = METRIC.findall(expression)
            assert names, rule
            for name in names:
                assert seen(watched, name), name


@pytest.mark.parametrize(
    ("panel", "target"),
    [
        pytest.param(panel, target, id=f"{panel['title']}-{target['refId']}")
        for panel in PANELS
        for target in panel["targets"]
    ],
)
def test_every_query_of_the_dashboard_has_numbers(watched, panel, target):
    found = seen(watched, filled_in(target["expr"]))
    assert found
    highest = max(max(numbers) for _, numbers in found)
    assert (highest > 0) is (panel["title"] not in GOOD_ZEROS)
    for labels, _ in found:
        if "or vector(0)" not in target["expr"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            # Where callers are not told apart there is no tenant.
            assert wanted - {"tenant"} <= labels.keys()


def test_series_of_the_dashboard_are_told_apart(watched):
    """Two series of one name in a panel could not be told from each other."""
    for panel in PANELS:
        legends = [
            re.sub(
                r"{{(\w+)}}",
                lambda found: labels.get(found[1], ""),  # noqa: B023
                target["legendFormat"],
            )
            for target in panel["targets"]
            for labels, _ in seen(watched, filled_in(target["expr"]))
        ]
        assert len(legends) == len(set(legends)), panel["title"]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda one: one["name"])
def test_variables_of_the_dashboard_have_values(watched, variable):
    metric, label = re.fullmatch(
        r"label_values\((.*), (\w+)\)", variable["query"]["query"]
    ).groups()
    found = {
        labels[label]
        for labels, _ in seen(watched, filled_in(metric))
        if label in labels
    }
    expected = {
        "job": {"tensord"},
        "instance": set(watched.targets[:2]),
        "device": {"cpu", "cuda:0", "cuda:1"},
    }
    assert found == expected[variable["name"]]


def test_annotations_of_the_dashboard_have_numbers(watched):
    for annotation in DASHBOARD["annotations"]["list"]:
        assert seen(watched, filled_in(annotation["expr"]))


def test_what_is_scaled_by_is_offered(watched):
    """As the adapter asks, for one pod; here a server stands in for it."""
    rules = harness.load("prometheus/adapter.yaml")["rules"]
    scaler = harness.load("kubernetes/components/autoscaling/autoscaler.yaml")
    wanted = {
        one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]
    }
    assert {one["name"]["as"] for one in rules} == wanted
    for rule in rules:
        series = rule["seriesQuery"].partition("{")[0]
        query = (
            rule["metricsQuery"]
            .replace("<<.Series>>", series)
            .replace("<<.LabelMatchers>>", 'job="tensord"')
            .replace("<<.GroupBy>>", "instance")
        )
        found = seen(watched, query)
        assert len(found) == 2
        assert all(labels.keys() == {"instance"} for labels, _ in found)
        assert max(max(numbers) for _, numbers in found) > 0
