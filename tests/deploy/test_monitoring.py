"""The dashboard and the alerts ask for what the servers show, and for nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from retell_ws.__main__ import main
from retell_ws.deploy.templates import read
from retell_ws.facts import TurnFailed, TurnMeasured
from retell_ws.measures import Measures
from retell_ws.outbox import Outbox
from retell_ws.process_figures import ProcessFigures
from retell_ws.stores.memory import MemoryCallStore

from ..http_client import fetched
from ..kafka_servers import MockKafka
from ..machine import free_port, program
from ..processes import served
from ..redis_servers import RedisServer, valkey
from ..test_facts import EXAMPLES

yaml = pytest.importorskip("yaml")

DASHBOARD: dict[str, Any] = json.loads(read("grafana.json"))
ALERTS: dict[str, Any] = yaml.safe_load(read("alerts.yaml"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]

OF_PROMETHEUS = {"job", "instance"}
"""Labels that every series gets from whoever asks for it."""

OF_EMBEDDED = {"relayed", "bus_failed", "bus_degraded"}
"""Figures of servers that hand facts to Kafka themselves; beside one that is served a process of its own does."""

SELECTOR = re.compile(r"\b((?:retell_ws|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def asked() -> dict[str, str]:
    """Every expression by where it stands, in the words of Prometheus."""
    found = {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}
    found |= {rule["alert"]: rule["expr"] for rule in RULES}
    return {place: expr.replace("$__rate_interval", "5m").replace("$instance", ".*") for place, expr in found.items()}


ASKED = asked()


async def shown() -> dict[str, list[dict[str, str]]]:
    """The labels of every series, by name, of a served process that has all there can be."""
    names = re.findall(r"`(\w+)`", Outbox.figures.__doc__ or "")
    outbox = {name: 0.0 for name in names if name not in OF_EMBEDDED}
    store = MemoryCallStore(lambda: 0.0, is_shared=True)
    spans = dict.fromkeys(("sent", "failed", "dropped"), 0.0)
    made = Measures(0.8, lambda: 1, store=store.figures, outbox=lambda: outbox, traces=lambda: spans)
    for fact in (*EXAMPLES, TurnFailed(1, "stall", 1.0), TurnMeasured(1, "finished", cache_miss="tools_changed")):
        made.record(fact)
    for outcome in ("kept", "unsigned"):
        made.webhook("call_ended", outcome)
    process = ProcessFigures()
    try:
        text = (made.text() + await process.text()).decode()
    finally:
        process.close()
    series: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, []).append(sample.labels)
    return series


def selectors(expr: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    for name, matchers in SELECTOR.findall(expr):
        yield name, MATCHER.findall(matchers)


async def test_every_expression_names_series_that_a_server_shows() -> None:
    series = await shown()
    for place, expr in ASKED.items():
        found = list(selectors(expr))
        assert found, place
        for name, matchers in found:
            assert name in series, f"{place}: {name}"
            for label, operator, value in matchers:
                if label in OF_PROMETHEUS:
                    continue
                values = {labels[label] for labels in series[name]}  # KeyError: it has no such label
                wanted = value.split("|") if operator == "=~" else [value]
                assert set(wanted) <= values, f"{place}: {label}={value}"


async def test_every_label_that_is_grouped_by_or_shown_is_one_of_its_series() -> None:
    series = await shown()
    legends = {
        f"{panel['title']} {target['refId']}": target["legendFormat"]
        for panel in panels()
        for target in panel["targets"]
    }
    for place, expr in ASKED.items():
        known = OF_PROMETHEUS | {label for name, _ in selectors(expr) for labels in series[name] for label in labels}
        grouped = {label.strip() for labels in GROUPING.findall(expr) for label in labels.split(",")}
        assert grouped <= known, place
        for label in re.findall(r"\{\{(\w+)\}\}", legends.get(place, "")):
            assert label in (grouped if "sum by" in expr else known), f"{place}: {label}"


async def test_every_metric_is_on_the_dashboard() -> None:
    shown_there = {name for expr in ASKED.values() for name, _ in selectors(expr)}
    stems = {re.sub("_(bucket|count|sum)$", "", name) for name in shown_there}
    ours = {re.sub("_(bucket|count|sum)$", "", name) for name in await shown() if name.startswith("retell_ws_")}
    assert ours - stems == set()


async def test_a_served_process_with_everything_shows_every_metric(tmp_path: Path) -> None:
    with RedisServer(valkey(), tmp_path / "redis", port=free_port()) as redis, MockKafka() as kafka:
        flags = ("--blueprint", "events", "--redis-url", redis.url, "--kafka-bootstrap", kafka.bootstrap)
        async with served(
            *flags, "--http-port", "0", "--data", str(tmp_path / "data"), "--traces", "--model", "scripted"
        ) as (_, line):
            text = await asyncio.to_thread(fetched, f"{line['http']}/metrics")
    there = {family.name for family in text_string_to_metric_families(text)}
    asked_for = {name for expr in ASKED.values() for name, _ in selectors(expr)}
    stems = {re.sub("_(bucket|count|sum|total)$", "", name) for name in asked_for}
    assert stems - there == set()


def test_prometheus_itself_takes_every_expression(tmp_path: Path) -> None:
    promtool = program("promtool", optional=True)
    rules = [{"record": f"a:{number}", "expr": expr} for number, expr in enumerate(ASKED.values())]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    (tmp_path / "alerts.yaml").write_text(read("alerts.yaml"))
    for name in ("all.yaml", "alerts.yaml"):
        done = subprocess.run([promtool, "check", "rules", tmp_path / name], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


def test_the_alerts_ring_when_they_should(tmp_path: Path) -> None:
    promtool = program("promtool", optional=True)
    (tmp_path / "alerts.yaml").write_text(read("alerts.yaml"))
    server = 'job="voice", instance="a:8081"'
    quiet = {
        f'retell_ws_turns_total{{{server}, outcome="finished"}}': "0+100x60",
        f'retell_ws_turns_total{{{server}, outcome="failed"}}': "0+1x60",
        f'retell_ws_budgeted_turns_total{{{server}, budget="within"}}': "0+100x60",
        f'retell_ws_budgeted_turns_total{{{server}, budget="over"}}': "0+10x60",
        f"retell_ws_fallback_turns_total{{{server}}}": "0+1x60",
        f'retell_ws_loop_stall_seconds_bucket{{{server}, le="0.1"}}': "0+600x60",
        f'retell_ws_loop_stall_seconds_bucket{{{server}, le="0.25"}}': "0+600x60",
        f'retell_ws_loop_stall_seconds_bucket{{{server}, le="+Inf"}}': "0+600x60",
        f"retell_ws_calls{{{server}}}": "500x60",
        f"retell_ws_max_calls{{{server}}}": "1000x60",
        f"retell_ws_build_info{{{server}}}": "1x60",
        f"process_start_time_seconds{{{server}}}": "1000x60",
        f"process_open_fds{{{server}}}": "600x60",
        f"process_max_fds{{{server}}}": "1000x60",
        f"retell_ws_store_degraded{{{server}}}": "0x60",
        f"retell_ws_journal_degraded{{{server}}}": "0x60",
        f'retell_ws_journal_dropped_total{{{server}, weight="metric"}}': "0x60",
        f"retell_ws_journal_oldest_seconds{{{server}}}": "1x60",
        f'retell_ws_webhooks_total{{{server}, event="unread", outcome="unsigned"}}': "0+1x60",
    }
    loud = {
        f'retell_ws_turns_total{{{server}, outcome="failed"}}': "0+10x60",
        f'retell_ws_budgeted_turns_total{{{server}, budget="over"}}': "0+200x60",
        f"retell_ws_fallback_turns_total{{{server}}}": "0+30x60",
        f'retell_ws_loop_stall_seconds_bucket{{{server}, le="0.1"}}': "0+500x60",
        f"retell_ws_calls{{{server}}}": "950x60",
        f"process_start_time_seconds{{{server}}}": "1000+60x60",
        f"process_open_fds{{{server}}}": "900x60",
        f"retell_ws_store_degraded{{{server}}}": "1x60",
        f"retell_ws_journal_degraded{{{server}}}": "1x60",
        f'retell_ws_journal_dropped_total{{{server}, weight="metric"}}': "0+5x60",
        f"retell_ws_journal_oldest_seconds{{{server}}}": "0+60x60",
        f'retell_ws_webhooks_total{{{server}, event="unread", outcome="unsigned"}}': "0+60x60",
    }
    every = [rule["alert"] for rule in RULES]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "50m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": 1} for name in (every if given != quiet else [])
                    ],
                }
            ],
        }
        for given in (quiet, quiet | loud)
    ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": tests}))
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------------------- the dashboard


def test_panels_have_ids_of_their_own_and_say_what_they_show() -> None:
    everything = DASHBOARD["panels"]
    assert max(Counter(panel["id"] for panel in everything).values()) == 1
    assert max(Counter(panel["title"] for panel in everything).values()) == 1
    assert all(panel["description"].endswith(".") for panel in panels())
    for panel in panels():
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_panels_stand_beside_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    heights = {y for _, y in taken}
    assert heights == set(range(len(heights))), "no row is empty"


def test_whoever_looks_chooses_the_prometheus_and_the_servers() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "instance"]
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    # All is the list of our servers: `.*` would take every process that Prometheus knows.
    assert variables["instance"]["includeAll"] and "allValue" not in variables["instance"]
    for panel in panels():
        for target in panel["targets"]:
            for name, matchers in selectors(target["expr"]):
                assert ("instance", "=~", "$instance") in matchers, f"{panel['title']}: {name}"


# ---------------------------------------------------------------------------- the alerts


def test_every_alert_says_how_bad_it_is_and_what_happened() -> None:
    assert max(Counter(rule["alert"] for rule in RULES).values()) == 1
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_what_the_readme_finds_worth_an_alarm_has_one() -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text("utf-8")
    (said,) = re.findall(r"\nWorth an alarm: .*?\n\n", readme, re.DOTALL)
    names = {name for rule in RULES for name, _ in selectors(rule["expr"])}
    assert set(re.findall(r"`(retell_ws_\w+)`", said)) <= names


# ---------------------------------------------------------------------------- the command


FILES = {"dashboard": "grafana.json", "alerts": "alerts.yaml"}


@pytest.mark.parametrize("kind", FILES)
def test_the_command_writes_them(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([kind], [kind, "--out", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as ended:
            main(["monitoring", *arguments])
        assert ended.value.code == 0
    assert capsys.readouterr().out == (tmp_path / "out").read_text() == read(FILES[kind])


@pytest.mark.parametrize(("kind", "word"), [("dashboard", "Grafana"), ("alerts", "Prometheus")])
def test_each_has_help_of_its_own(kind: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["monitoring", kind, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"Usage: retell_ws monitoring {kind}" in told and word in told and "--out" in told


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["monitoring", "alerts", "--out", str(tmp_path / "none" / "out")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("retell_ws: cannot write ")
