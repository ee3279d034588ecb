"""The dashboard and the alert rules: they ask only for what the product says.

What is asked for is held against the product's own list of its numbers, by name, kind and labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from deploy.conftest import DEPLOY, ROOT
from stafett.web import metrics

METRICS: Mapping[str, tuple[str, frozenset[str]]] = {
    each.name: (each.kind.value, frozenset(each.labels)) for each in metrics.METRICS
}

_METRIC = re.compile(r"\b(stafett_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
_PARTS = re.compile(r"_(?:bucket|sum|count)$")
_SCRAPED = frozenset({"job", "instance", "le"})
"""Labels that Prometheus gives."""

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "stafett.json").read_text())
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [
    *(
        (f"{panel['title']}-{each['refId']}", each["expr"])
        for panel in PANELS
        for each in panel["targets"]
    ),
    *((rule["alert"], rule["expr"]) for rule in RULES),
]


def asked(expression: str) -> Iterator[tuple[str, str, set[str]]]:
    """Name, what follows a histogram's name, and labels, of each metric in it."""
    for name, labels in _METRIC.findall(expression):
        whole = _PARTS.sub("", name)
        yield whole, name.removeprefix(whole), set(_LABEL.findall(labels))


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS]
)
def test_only_what_there_is_is_asked_for(where: str, expression: str) -> None:
    found = list(asked(expression))
    assert found or expression.startswith("up{")
    for name, part, labels in found:
        assert name in METRICS, where
        kind, known = METRICS[name]
        assert bool(part) == (kind == "histogram"), where
        assert labels <= known | _SCRAPED, where


@pytest.mark.parametrize(
    ("where", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS]
)
def test_what_is_grouped_by_is_a_label(where: str, expression: str) -> None:
    known = _SCRAPED.union(*(METRICS[name][1] for name, _, _ in asked(expression)))
    for labels in _GROUPED.findall(expression):
        assert {each.strip() for each in labels.split(",")} <= known, where


@pytest.mark.parametrize(
    ("where", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS]
)
def test_a_counter_is_asked_for_its_rate_and_nothing_else_is(where: str, expression: str) -> None:
    for name in re.findall(r"\b(?:rate|increase)\((stafett_\w+)", expression):
        assert METRICS[_PARTS.sub("", name)][0] != "gauge", where
    counters = [name for name, _, _ in asked(expression) if METRICS[name][0] != "gauge"]
    assert len(counters) == len(re.findall(r"\b(?:rate|increase)\(", expression)), where


def test_every_number_is_on_the_dashboard() -> None:
    shown = {
        name for panel in PANELS for each in panel["targets"] for name, _, _ in asked(each["expr"])
    }
    assert shown == set(METRICS)


def test_a_name_that_is_not_there_would_be_found() -> None:
    expression = 'sum by (state) (rate(stafett_commit_seconds_bucket{le="1",job=~"a"}[5m]))'
    assert list(asked(expression)) == [("stafett_commit_seconds", "_bucket", {"le", "job"})]
    assert _GROUPED.findall(expression) == ["state"]


# --- the dashboard ----------------------------------------------------------------------------


def test_every_panel_has_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_dashboard_fits_any_grafana() -> None:
    """It names no data source and no job of ours: both are chosen on it."""
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            for name, _, labels in asked(target["expr"]):
                assert {"job", "instance"} <= labels, (panel["title"], name)
    assert DASHBOARD["uid"] == "stafett"


# --- the alerts -------------------------------------------------------------------------------


def test_each_alert_says_how_grave_it_is_and_what_to_do() -> None:
    page = (ROOT / "docs" / "deploying.md").read_text()
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/deploying.md"
        headings = [line.lstrip("# ").lower() for line in page.splitlines() if line[:1] == "#"]
        assert anchor in headings, rule["alert"]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"Stafett[A-Z]\w+", name) for name in names)


def test_what_is_grave_does_not_wait_long() -> None:
    for rule in RULES:
        minutes = int(rule.get("for", "0m").removesuffix("m"))
        assert minutes <= (5 if rule["labels"]["severity"] == "critical" else 15), rule["alert"]
