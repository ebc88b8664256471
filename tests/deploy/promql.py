"""What the rules and the dashboard ask of Prometheus."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.paths import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules" / "expofuse.yml"
RULE_TESTS = sorted((RULES.parent / "tests").glob("*.yml"))
OPERATIONS = ROOT / "docs" / "operations.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "expofuse.json"

_SELECTOR = re.compile(r"\b(?:job:)?expofuse_[a-z0-9_:]+(?:\{[^}]*\})?|\bup\{[^}]*\}")
_VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m"}


def read_rules() -> list[dict[str, Any]]:
    """Every rule, of all groups."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def read_alerts() -> dict[str, dict[str, Any]]:
    """The alerts by their names."""
    return {rule["alert"]: rule for rule in read_rules() if "alert" in rule}


def read_panels() -> list[dict[str, Any]]:
    """Every panel with queries."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Title and expression of every query of the dashboard, for all services."""
    for panel in read_panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def capacity_queries() -> list[str]:
    """The queries by which `docs/operations.md` tells the capacity."""
    section = OPERATIONS.read_text().partition("\n## Capacity\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", section, re.MULTILINE)


def selectors_in(expression: str) -> list[str]:
    """The series that an expression looks at.

    Example:
        >>> selectors_in('rate(expofuse_keys{a="b"}[5m]) > ignoring (a) expofuse_ready')
        ['expofuse_keys{a="b"}', 'expofuse_ready']
    """
    return _SELECTOR.findall(expression)
