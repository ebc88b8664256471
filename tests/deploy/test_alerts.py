"""The rules pass Prometheus' own check, and each alert fires when it should and is silent else."""

import re
import subprocess

import pytest
import yaml

from deploy.grafana.dashboard import SECTIONS
from service.lifecycle import Service
from service.problem_types import PROBLEM_TYPES
from service.settings import Settings, setting_names
from tests.deploy.promql import (
    OPERATIONS,
    RULE_TESTS,
    RULES,
    read_alerts,
    read_panels,
    read_rules,
    selectors_in,
)
from tests.deploy.test_prometheus import tool

PAGE = "docs/operations.md"
ALERTS = read_alerts()


def test_the_rules_pass_prometheus_own_check():
    done = subprocess.run(
        [tool("promtool"), "check", "rules", RULES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tests", RULE_TESTS, ids=lambda path: path.stem)
def test_the_alerts_do_what_their_tests_say(tests):
    done = subprocess.run(
        [tool("promtool"), "test", "rules", tests], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_firing_and_silent(alert):
    expected = [
        bool(one["exp_alerts"])
        for path in RULE_TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for one in test["alert_rule_test"]
        if one["alertname"] == alert
    ]
    assert {True, False} == set(expected)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_leads_to_a_section_that_says_what_to_look_at_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
    section = re.search(rf"^### {alert}\n(.*?)(?=^##|\Z)", OPERATIONS.read_text(), re.M | re.S)
    assert section is not None
    assert "**Look at**" in section[1]
    assert "**Do**" in section[1]


def test_the_page_describes_no_alert_that_is_gone():
    assert set(re.findall(r"^### (Expofuse\w+)$", OPERATIONS.read_text(), re.M)) == set(ALERTS)


def test_the_page_names_settings_problems_and_panels_that_there_are():
    text = OPERATIONS.read_text()
    settings = set(re.findall(r"EXPOFUSE_[A-Z0-9_]+", text))
    assert settings <= set(setting_names())
    titles = {panel["title"] for panel in read_panels()}
    titles |= {section.question for section in SECTIONS}
    assert set(re.findall(r'"([A-Z][^"]+)"', text)) <= titles
    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text))
    assert codes <= set(PROBLEM_TYPES)


def test_the_rules_name_metrics_that_the_service_has():
    exposition = Service(Settings(), worker_command=()).metrics.exposition().decode()
    names = set(re.findall(r"^# TYPE (\w+)", exposition, re.M))
    names |= {rule["record"] for rule in read_rules() if "record" in rule} | {"up"}
    for rule in read_rules():
        found = selectors_in(rule["expr"])
        assert found, rule
        for selector in found:
            name = selector.partition("{")[0]
            assert {name, re.sub(r"_(bucket|count|sum)$", "", name)} & names, name
