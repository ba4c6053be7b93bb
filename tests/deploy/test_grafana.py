"""The dashboard is one that Grafana takes, and finds."""

import json
import re

import deploy_harness as harness
import pytest
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.models import dashboard as models

GRAFANA = harness.DEPLOY / "grafana"
PATH = GRAFANA / "dashboards/tensord.json"
DASHBOARD = json.loads(PATH.read_text())
PANELS = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
COLUMNS = 24
# Of a query for annotations, which the models leave to the data source.
OPEN = {"step", "titleFormat"}

plugins.register_default_plugins()


def lost(before, after, path=""):
    """Where two documents differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in OPEN:
                yield from lost(value, after.get(name), f"{path}/{name}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield path
        for at, pair in enumerate(zip(before, after, strict=False)):
            yield from lost(*pair, f"{path}/{at}")
    elif before != after:
        yield path


def test_grafana_knows_every_field():
    """What Grafana's own models do not know gets lost in them."""
    model = models.Dashboard.from_json(DASHBOARD)
    again = json.loads(encoder.JSONEncoder().encode(model))
    assert list(lost(DASHBOARD, again)) == []


def test_links_to_the_dashboard_stay_good():
    assert DASHBOARD["uid"] == "tensord"
    assert DASHBOARD["title"] == "tensord"
    assert "id" not in DASHBOARD


def test_rows():
    rows = [one for one in DASHBOARD["panels"] if one["type"] == "row"]
    assert [one["title"] for one in rows] == [
        "Traffic",
        "Errors",
        "Latency",
        "Bytes",
        "Memory",
        "Conversions",
        "Admission",
        "Process",
    ]


def test_panels_do_not_overlap():
    taken = set()
    for one in DASHBOARD["panels"]:
        at = one["gridPos"]
        cells = {
            (at["x"] + column, at["y"] + line)
            for column in range(at["w"])
            for line in range(at["h"])
        }
        assert at["x"] + at["w"] <= COLUMNS
        assert not cells & taken, one["title"]
        taken |= cells
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", PANELS, ids=lambda one: one["title"])
def test_panels_can_be_read(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "heatmap":
        assert panel["options"]["yAxis"]["unit"]
    else:
        assert defaults["unit"]
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    values = [one["value"] for one in steps[1:]]
    assert values == sorted(values)
    for target in panel["targets"]:
        assert target["expr"] and target["legendFormat"] is not None


def found(name, document):
    """All values of a key, wherever it is."""
    if isinstance(document, dict):
        if name in document:
            yield document[name]
        for value in document.values():
            yield from found(name, value)
    elif isinstance(document, list):
        for value in document:
            yield from found(name, value)


def test_no_data_source_is_named():
    """Whoever imports it chooses one."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    sources = list(found("datasource", DASHBOARD))
    assert len(sources) > len(PANELS)
    assert all(one == chosen for one in sources)
    [variable] = [
        one
        for one in DASHBOARD["templating"]["list"]
        if one["name"] == "datasource"
    ]
    assert variable["type"] == "datasource"
    assert variable["query"] == "prometheus"


def test_variables_that_are_used_are_there():
    declared = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", PATH.read_text()))
    assert used == declared


def test_zero_is_only_put_where_it_is_true():
    """Metrics that are there from the start need none."""
    zeros = {
        panel["title"]
        for panel in PANELS
        for target in panel["targets"]
        if "vector(0)" in target["expr"]
    }
    assert zeros == {
        "Alerts",
        "The server's own faults",
        "Files of tokens and certificates",
    }


def test_grafana_is_told_where_everything_is():
    compose = harness.load("compose.yaml")["services"]
    service = compose["grafana"]
    mounts = dict(one.split(":")[:2] for one in service["volumes"])
    [provider] = harness.load("grafana/provisioning/dashboards/tensord.yaml")[
        "providers"
    ]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{PATH.name}"

    [source] = harness.load(
        "grafana/provisioning/datasources/prometheus.yaml"
    )["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in compose["prometheus"]["ports"]
    # Intervals of rates are made of this.
    configuration = harness.load("prometheus/prometheus.yaml")["global"]
    assert (
        source["jsonData"]["timeInterval"] == configuration["scrape_interval"]
    )
