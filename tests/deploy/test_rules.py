"""The rules of Prometheus do what they say, and the runbook knows them."""

import re

import deploy_harness as harness
import pytest
import yaml

PROMETHEUS = harness.DEPLOY / "prometheus"
TESTS = harness.ROOT / "tests/deploy/rules.test.yaml"
ALERTS = harness.metrics_rules("alert")


def test_promtool_takes_the_configuration():
    done = harness.run(
        "promtool", "check", "config", PROMETHEUS / "prometheus.yaml"
    )
    assert done.returncode == 0, done.stdout
    # Duplicates and the like are told of, but not as errors.
    done = harness.run(
        "promtool", "check", "rules", "--lint=all", "--lint-fatal",
        PROMETHEUS / "rules.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_alerts_fire_when_they_should():
    done = harness.run("promtool", "test", "rules", TESTS)
    assert done.returncode == 0, done.stdout


def alert_tests():
    tests = yaml.safe_load(TESTS.read_text())["tests"]
    return [one for test in tests for one in test["alert_rule_test"]]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_every_alert_is_seen_firing_and_not_firing(alert):
    expected = [
        bool(one.get("exp_alerts"))
        for one in alert_tests()
        if one["alertname"] == alert["alert"]
    ]
    assert set(expected) == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_every_alert_leads_to_what_to_do(alert):
    annotations = alert["annotations"]
    page, _, anchor = annotations["runbook"].partition("#")
    assert (harness.ROOT / page) == PROMETHEUS / "runbook.md"
    assert anchor == alert["alert"].lower()
    assert {"summary", "description"} < annotations.keys()
    assert alert["labels"]["severity"] in {"critical", "warning"}


def test_the_runbook_has_the_alerts_and_no_others():
    page = (PROMETHEUS / "runbook.md").read_text()
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert headings == [one["alert"] for one in ALERTS]


def test_reasons_are_those_of_the_server():
    source = (harness.ROOT / "core/error.h").read_text()
    known = set(re.findall(r'\bk\w+ =\s+"([A-Z_]+)"', source))
    for rule in ALERTS:
        for one in re.findall(r'reason=~?"([^"]+)"', rule["expr"]):
            assert set(one.split("|")) <= known


def test_runbook_flags_exist(help_text):
    page = (PROMETHEUS / "runbook.md").read_text()
    named = set(re.findall(r"`(?:tensord )?(--[a-z_]+)", page))
    assert named
    assert named <= harness.known_flags(help_text)
