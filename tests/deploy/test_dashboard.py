"""The dashboard that Grafana is given is the one that the generator writes."""

import json

import yaml

from deploy.grafana.dashboard import write_dashboard
from tests.deploy.promql import DASHBOARD, panel_expressions, read_panels
from tests.paths import ROOT

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


def test_the_committed_dashboard_is_what_the_generator_writes():
    assert DASHBOARD.read_text() == write_dashboard(), "make dashboard"


def test_the_rows_are_the_questions_of_an_operator():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Are clients served?",
        "Where does time go?",
        "Is it full?",
        "The device",
        "Are the pictures good?",
        "The fleet",
    ]


def test_panels_have_titles_and_ids_of_their_own_and_lie_beside_one_another():
    panels = read_panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_query_asks_for_the_chosen_services():
    for panel in read_panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert 'job=~"$job"' in target["expr"], target["expr"]
    assert all("OURS" not in expression for _, expression in panel_expressions())


def test_the_data_source_is_the_prometheus_that_scrapes_the_service():
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/expofuse.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
