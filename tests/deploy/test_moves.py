"""What is told of a move: which commands, in which order, and that no call is on a server that is stopped."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retell_ws.deploy.containers import compose_files
from retell_ws.deploy.files import Wanted, settings
from retell_ws.deploy.moves import told
from retell_ws.deploy.next_setup import Options, next_setup

CONSUMERS = ("analytics", "archive", "escalation")

CONTAINERS: dict[str, Any] = {"servers": 1, "image": "x", "agent": "./agent.py", "leaving": False, "stop_s": 120}

README = Path(__file__).parent.parent.parent / "README.md"


def setup(blueprint: Any, before: Wanted | None = None, own: dict[str, Any] | None = None, **options: Any) -> Wanted:
    return next_setup(blueprint, "/opt/a", "/bin/retell_ws", Options(**options), before=before, own=own or {})


def steps(wanted: Wanted, before: Wanted | None = None, *changed: str) -> list[str]:
    """The commands on one machine."""
    (section,) = [each for each in told(wanted, before, changed=changed) if each.title == "Next, on one machine"]
    return [line[2:] for line in section.lines if line.startswith("$ ")]


def words(wanted: Wanted, before: Wanted | None = None) -> str:
    return "\n".join(line for section in told(wanted, before, changed=()) for line in section.lines)


def at(commands: list[str], part: str) -> int:
    """Where the first command is that holds this."""
    return next(number for number, command in enumerate(commands) if part in command)


def test_the_old_server_is_told_after_the_proxy_and_stopped_after_its_last_call() -> None:
    before = setup("single")
    commands = steps(setup("distributed", before), before, "retell_ws.toml")
    order = (
        "--only redis",
        "--port 8082",
        "8082/readyz",
        "kill -USR2 $(cat",
        "pkill -USR2",
        "retell_ws_live_calls 0",
        "pkill -TERM",
    )
    places = [at(commands, part) for part in order]
    assert places == sorted(places)
    assert at(commands, "--leaving none") > places[-1]
    assert "http://127.0.0.1:18081/metrics" in commands[at(commands, "retell_ws_live_calls 0")]
    assert "while pgrep" in commands[places[-1]], "until its end a redial may come"


def test_the_old_server_s_unit_does_not_come_back_with_the_machine() -> None:
    for before, unit in ((setup("single"), "retell_ws"), (setup("events"), "retell_ws@8081")):
        said = words(setup("distributed", before), before)
        assert f"(systemctl disable --now {unit}):" in said and "systemctl stop" not in said
        assert f"(systemctl kill -s USR2 --kill-whom=main {unit}):" in said
        assert said.index("awaits no redial") < said.index("disable --now") < said.index("while pgrep")
    assert "(systemctl disable --now UNIT):" in words(setup("distributed", own={"port": 8080}))


def test_one_server_is_spoken_of_as_one() -> None:
    assert "1 server of retell_ws: 127.0.0.1:8081\nhaproxy before it, at" in words(setup("single"))
    assert "3 servers of retell_ws" in words(setup("distributed"))
    assert "haproxy before them, at" in words(setup("distributed"))


def test_a_pattern_finds_the_old_server_and_none_of_the_new_ones() -> None:
    before = setup("single")
    wanted = setup("distributed", before)
    (stop,) = [command for command in steps(wanted, before) if command.startswith("pkill -TERM")]
    pattern = stop.split("'")[1].replace("[s]", "s").removesuffix("$")
    assert before.serving()[0].endswith(pattern)
    assert not any(command.endswith(pattern) for command in wanted.serving())


def test_servers_that_share_their_calls_are_restarted_one_after_the_other() -> None:
    before = setup("distributed", servers=2)
    commands = steps(setup("events", before, kafka="k:1"), before, "retell_ws.toml")
    kinds = [at(commands[start:], "pkill -TERM") + start for start in (0, at(commands, "8081/readyz"))]
    assert "--port 8081 " in commands[kinds[0]] and "--port 8082 " in commands[kinds[1]]
    assert any("consume analytics archive" in command for command in commands[: kinds[0]])


@pytest.mark.parametrize(
    ("before", "topics"),
    [
        (None, "redis kafka"),
        (setup("single"), "redis kafka"),
        (setup("distributed"), "redis kafka"),
        (setup("events"), "kafka"),
    ],
)
def test_kafka_is_asked_before_a_server_or_a_consumer_counts_on_it(before: Wanted | None, topics: str) -> None:
    commands = steps(setup("events", before, kafka="k:1"), before, "retell_ws.toml")
    (ask,) = (number for number, command in enumerate(commands) if "--only" in command)
    assert f"validate --only {topics} --config /opt/a/retell_ws.toml" in commands[ask]
    assert at(commands, "set -a") < ask < min(at(commands, "serve /opt"), at(commands, "consume "))


def test_what_is_not_set_is_not_asked() -> None:
    assert not any("--only" in command for command in steps(setup("events")))
    assert not any("--only" in command for command in steps(setup("single")))
    assert any("--only redis --config" in command for command in steps(setup("distributed")))


def test_a_server_in_whose_memory_calls_are_is_not_just_stopped() -> None:
    before = setup("events")
    wanted = setup("events", before, kafka="k:1")
    assert not any("TERM" in command for command in steps(wanted, before, "retell_ws.toml"))
    lines = [line for section in told(wanted, before, changed=["retell_ws.toml"]) for line in section.lines]
    assert any("when it has no calls" in line for line in lines)


def test_one_server_takes_the_place_of_several_and_nobody_s_call_is_cut_off() -> None:
    before = setup("distributed", servers=2)
    wanted = setup("single", before)
    commands = steps(wanted, before, "retell_ws.toml")
    order = (
        "serve",
        "8083/readyz",
        "kill -USR2 $(cat",
        "18081/metrics",
        "--port 8081 ",
        "18082/metrics",
        "--port 8082 ",
    )
    places = [at(commands, part) for part in order]
    assert places == sorted(places)
    assert [command[:5] for command in commands[places[3] :]] == ["until", "pkill"] * 2
    assert "begins anew" in words(wanted, before)


@pytest.mark.parametrize("blueprint", ["single", "distributed"])
def test_who_leaves_kafka_stops_the_consumers_after_the_last_server(blueprint: str) -> None:
    before = setup("events", kafka="k:1", servers=2)
    wanted = setup(blueprint, before)
    commands = steps(wanted, before, "retell_ws.toml")
    stop = commands[-1] if blueprint == "single" else commands[-2]
    assert stop.startswith("pkill -TERM") and commands.index(stop) > at(commands, "--port 8082 ")
    pattern = stop.split("'")[1]
    for consumed in ("analytics archive", "escalation"):
        unit = f"/bin/retell_ws consume {consumed} --config /opt/a/retell_ws.toml --data /var/lib/retell_ws/kept"
        assert re.search(pattern, unit)
    assert not any(re.search(pattern, command) for command in (*wanted.serving(), stop))
    assert "waits in Kafka" in words(wanted, before)


def test_consumers_that_run_are_not_started_a_second_time_beside_themselves() -> None:
    before = setup("events", kafka="k:1", servers=2)
    commands = steps(setup("events", before, kafka="k:2"), before, "retell_ws.toml")
    start = at(commands, "/bin/retell_ws consume")
    assert re.search(commands[start - 1].split("'")[1], commands[start])


def test_one_server_s_units_take_the_place_of_the_others_units() -> None:
    before = setup("events", kafka="k:1", servers=2)
    said = words(setup("single", before), before)
    assert "systemctl enable --now retell_ws;" in said
    for unit in ("retell_ws@8081", "retell_ws@8082", *(f"retell_ws-consume@{each}" for each in CONSUMERS)):
        assert re.search(rf"disable --now [^\n]*{unit}\b", said), unit
    shared = setup("distributed")
    assert "retell_ws-consume" not in words(setup("single", shared), shared)


def systemd(wanted: Wanted, before: Wanted, *changed: str) -> str:
    """What those are told who run units."""
    (section,) = [each for each in told(wanted, before, changed=changed) if each.title == "Next, on one machine"]
    found = re.search(r"^\(systemd: (.*?)\)$", "\n".join(section.lines), re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def in_order(said: str, *parts: str) -> bool:
    places = [said.index(part) for part in parts]
    return places == sorted(places)


def test_units_that_are_to_keep_facts_are_new_and_so_are_their_consumers() -> None:
    before = setup("distributed", servers=2)
    said = systemd(setup("events", before, kafka="k:1"), before, "retell_ws.toml")
    assert in_order(
        said,
        "cp /opt/a/retell_ws@.service /opt/a/retell_ws-consume@.service /etc/systemd/system/ ",
        "systemctl daemon-reload;",
        "systemctl enable --now retell_ws-consume@analytics retell_ws-consume@archive, with rules ",
        "systemctl restart retell_ws@8081, and so on",
    )
    assert "disable" not in said


def test_the_way_back_from_events_has_no_units_of_consumers_left() -> None:
    before = setup("events", kafka="k:1", servers=2)
    said = systemd(setup("distributed", before), before, "retell_ws.toml")
    disabled = "systemctl disable --now " + " ".join(f"retell_ws-consume@{each}" for each in CONSUMERS)
    assert in_order(said, "cp /opt/a/retell_ws@.service /etc", "daemon-reload;", "restart retell_ws@8081", disabled)
    assert "enable --now" not in said and "retell_ws-consume@.service" not in said


def test_units_that_come_and_go_are_told_and_those_that_stay_as_they_are_are_not() -> None:
    before = setup("distributed", servers=2)
    more = setup("distributed", before, servers=3)
    assert systemd(more, before) == "systemctl enable --now retell_ws@8083"
    assert systemd(before, more).endswith("systemctl disable --now retell_ws@8083")
    assert systemd(before, before) == ""
    kafka = setup("events", kafka="k:1", servers=2)
    assert systemd(setup("events", kafka, kafka="k:2"), kafka, "retell_ws.toml").split(";\n") == [
        "systemctl restart 'retell_ws-consume@*'",
        "systemctl restart retell_ws@8081, and so on, when it is ready",
    ]
    alone = setup("events")
    said = systemd(setup("events", alone, kafka="k:1"), alone, "retell_ws.toml")
    assert in_order(said, "cp /opt/a/retell_ws-consume@.service", "enable --now", "restart retell_ws@8081")
    assert "and so on" not in said


def test_events_in_memory_ends_as_any_other_server_when_single_takes_its_place() -> None:
    before = setup("events")
    wanted = setup("single", before)
    commands = steps(wanted, before, "retell_ws.toml")
    order = ("serve", "8082/readyz", "18081/metrics", "pkill -TERM")
    places = [at(commands, part) for part in order]
    assert places == sorted(places) and "--port 8081 " in commands[places[-1]]
    assert "one whose line breaks meanwhile begins anew" in words(wanted, before)


def test_servers_that_are_no_longer_wanted_are_stopped_when_nobody_dials_them() -> None:
    before = setup("distributed", servers=4)
    commands = steps(setup("distributed", before, servers=2), before, "haproxy.cfg")
    stops = [command for command in commands if "pkill" in command]
    assert ["--port 8083 " in stops[0], "--port 8084 " in stops[1], len(stops)] == [True, True, 2]
    assert at(commands, "haproxy -c") < commands.index(stops[0])


def test_a_pattern_finds_its_server_whatever_characters_its_path_has() -> None:
    before = next_setup("single", "/opt/a+b.c", "/bin/retell_ws", Options(), before=None, own={})
    wanted = next_setup("distributed", "/opt/a+b.c", "/bin/retell_ws", Options(), before=before, own={})
    (stop,) = [command for command in steps(wanted, before) if command.startswith("pkill -TERM")]
    assert re.search(stop.split("'")[1], before.serving()[0])


def test_what_only_the_proxy_has_to_know_restarts_nobody() -> None:
    before = setup("distributed", setup("single"))
    after = setup("distributed", before, leaving="none")
    assert steps(after, before, "haproxy.cfg") == [
        "PATH=$PATH:/usr/sbin",
        "haproxy -c -f /opt/a/haproxy.cfg && kill -USR2 $(cat /opt/a/haproxy.pid)",
    ]
    more = steps(setup("distributed", after, servers=4), after, "haproxy.cfg")
    assert [command for command in more if "serve" in command] == [
        f"{setup('distributed', after, servers=4).serving()[3]} &"
    ]


@pytest.mark.parametrize(
    ("proxy", "start", "again"),
    [
        ("haproxy", "haproxy -W", "haproxy -c"),
        ("nginx", "nginx -c", "nginx -t"),
        ("caddy", "caddy run", ""),
        ("none", "", ""),
    ],
)
def test_each_proxy_is_started_and_told_in_its_own_words(proxy: str, start: str, again: str) -> None:
    first = setup("distributed", proxy=proxy)
    assert any(command.startswith(start) for command in steps(first))
    after = steps(setup("distributed", first, servers=4), first)
    assert any(command.startswith(again) for command in after)
    assert (steps(first)[0] == "PATH=$PATH:/usr/sbin") == (proxy in ("haproxy", "nginx")), "where Debian has them"
    assert ("your balancer" in words(first)) == (proxy == "none")


STOPS = {
    "haproxy": "kill -USR1 $(cat /opt/a/haproxy.pid)",
    "nginx": "nginx -c /opt/a/nginx.conf -s quit",
    "caddy": "pkill -TERM -f '[c]addy run --adapter caddyfile --config /opt/a/Caddyfile'",
    "none": "",
}
MOVES: tuple[tuple[str, str], ...] = (
    ("distributed", "distributed"),
    ("distributed", "single"),
    ("single", "distributed"),
)
STARTS = {"haproxy": "haproxy -W", "nginx": "nginx -c /opt/a/nginx.conf", "caddy": "caddy run", "none": ""}


@pytest.mark.parametrize(
    ("move", "old", "after"),
    [
        (move, old, after)
        for move in MOVES
        for old in STOPS
        for after in STARTS
        if old != after and (after != "caddy" or move[0] != "single")  # Caddy cannot ask who leaves
    ],
)
def test_another_proxy_is_started_in_the_place_of_the_one_that_was_there(
    move: tuple[str, str], old: str, after: str
) -> None:
    before = setup(move[0], proxy=old)
    commands = steps(setup(move[1], before, proxy=after), before, "retell_ws.toml" if move[0] != move[1] else "")
    starts = [n for n, command in enumerate(commands) if after != "none" and command.startswith(STARTS[after])]
    stops = [n for n, command in enumerate(commands) if command == STOPS[old]]
    assert (len(starts[:1]), len(stops)) == (after != "none", old != "none")
    assert not any(command.startswith(("haproxy -c", "nginx -t")) for command in commands[: [*starts, 0][0]])
    if starts and stops:
        assert stops[0] + 1 == starts[0], "they have the same address"
    assert ("for a moment" in words(setup(move[1], before, proxy=after), before)) is bool(starts and stops)


def test_where_another_proxy_listens_elsewhere_the_old_one_stays_until_nobody_dials_it() -> None:
    before = setup("distributed")
    commands = steps(setup("distributed", before, proxy="nginx", listen=":9090"), before)
    assert at(commands, STARTS["nginx"]) < at(commands, STOPS["haproxy"])


def test_a_server_that_nobody_set_up_is_described() -> None:
    wanted = setup("distributed", own={"port": 8080})
    commands = steps(wanted)
    assert "kill -USR2 OLD_SERVER" in commands
    assert "while kill -0 OLD_SERVER" in commands[at(commands, "kill -TERM OLD_SERVER")]
    assert any(command.startswith("haproxy -W") for command in commands), "there was no proxy to tell"


def test_callers_are_spoken_of() -> None:
    single = setup("single")
    assert "begins anew" in words(single)
    assert "costs some tokens" in words(setup("distributed", single), single)
    assert "new ones go to the new servers" in words(setup("distributed", single), single)
    assert "another one says the next word" in words(setup("events", kafka="k:1"))
    assert "in the memory of one server" in words(setup("events"))
    shared = setup("distributed")
    assert "server by server" in words(setup("events", shared, kafka="k:1"), shared)


def test_what_was_kept_is_read_where_the_settings_say() -> None:
    events = setup("events")
    assert settings(events)["data"] == "/opt/a/retell_ws-data/8081"
    kafka = setup("events", events, kafka="k:1", redis_url="redis://h")
    assert settings(kafka)["data"] == "/opt/a/retell_ws-data/kept"
    assert not any("--data" in command for command in steps(kafka, events) if "consume" in command)
    said = words(kafka, events)
    for command in ("report", "transcripts list"):
        assert f"$ /bin/retell_ws {command} --config /opt/a/retell_ws.toml" in said
    assert "What was kept until now: --data /opt/a/retell_ws-data/8081" in said
    assert "until now" not in words(kafka, kafka)
    assert "data" not in settings(setup("distributed")) and "transcripts list" not in words(setup("distributed"))


def test_a_folder_of_the_owner_s_is_where_the_only_server_keeps_facts() -> None:
    events = msgspec.structs.replace(setup("events"), has_own_data=True)
    kafka = msgspec.structs.replace(setup("events", events, kafka="k:1", servers=2), has_own_data=True)
    assert not any("--data" in command for command in events.serving())
    assert all("--data /opt/a/retell_ws-data/80" in command for command in kafka.serving()), "each has its journal"
    assert "until now" not in words(kafka, events), "it stays there"
    assert "--data /var/lib/retell_ws/" in events.unit()["more"], "a unit may write nowhere else"


def test_a_server_that_is_told_another_folder_is_started_anew_and_no_second_one_beside_it() -> None:
    before = setup("events")
    wanted = msgspec.structs.replace(setup("events", before), has_own_data=True)
    said = words(wanted, before)
    assert "Start what was not there" not in said and "Start the server anew when it has no calls" in said
    assert f"$ {wanted.serving()[0]} &" in said
    assert "What was kept until now: --data /opt/a/retell_ws-data/8081" in said
    assert "until now" not in words(wanted, wanted)
    assert "systemctl restart" not in said, "a unit has the folder it had"


def test_the_folder_that_consumers_had_is_told_with_a_doubt_where_nobody_remembers() -> None:
    before = setup("events", kafka="k:1")  # or somebody's own, and an older version did not write that down
    wanted = msgspec.structs.replace(setup("events", before), has_own_data=True)
    assert "What was kept until now, unless `data` was set before: --data /opt/a/retell_ws-data/kept" in words(
        wanted, before
    )


def test_servers_with_another_agent_are_started_anew_in_the_place_of_those_that_run() -> None:
    before = setup("distributed", servers=2)
    wanted = setup("distributed", before, agent="/opt/a/other.py", servers=3)
    commands = steps(wanted, before)
    kinds = [
        (
            at(commands, f"TERM -f '[s]erve {before.agent} --config /opt/a/retell_ws.toml --port {port} '"),
            commands.index(f"{command} &"),
        )
        for port, command in zip(before.ports(), wanted.serving(), strict=False)
    ]
    assert [stop + 1 for stop, _ in kinds] == [start for _, start in kinds]
    assert sum("serve /opt" in command for command in commands) == 3
    assert "systemctl restart retell_ws@8081" in words(wanted, before)


def test_an_agent_that_is_not_there_comes_first() -> None:
    for agent, command in ((None, ["$ /bin/retell_ws new /opt/a"]), ("/opt/a/ana.py", [])):
        wanted = setup("single", agent=agent)
        sections = {each.title: each for each in told(wanted, None, changed=(), has_agent=False)}
        titles = list(sections)
        assert titles.index("First") + 1 == titles.index("Next, on one machine")
        section = sections["First"]
        assert section.lines[0].startswith(f"{wanted.agent} is not there")
        assert [line for line in section.lines if line.startswith("$ ")] == command


def test_what_pods_do_not_get_is_told() -> None:
    sections = told(setup("events", kafka="localhost:1,k:2", servers=1), None, changed=(), not_in_pods={"rules": "why"})
    (lines,) = (section.lines for section in sections if section.title == "In Kubernetes")
    said = "\n".join(lines)
    assert "rules is not in the manifests: why.\n" in said
    assert "No pod reaches Kafka at localhost:1,k:2" in said
    assert "is where pods reach Redis.\n" in said, "this machine's needs none"
    assert not any(each.title == "In Kubernetes" for each in told(setup("events"), None, changed=()))


def in_cluster(wanted: Wanted, before: Wanted | None) -> list[str]:
    """The commands in Kubernetes."""
    found = [each for each in told(wanted, before, changed=()) if each.title == "In Kubernetes"]
    return [line[2:] for section in found for line in section.lines if line.startswith("$ ")]


@pytest.mark.parametrize("forth", [True, False])
def test_in_a_cluster_the_old_servers_go_when_as_many_new_ones_are_ready(forth: bool) -> None:
    shared = setup("distributed")
    kafka = setup("events", shared, kafka="k:1")
    wanted, before = (kafka, shared) if forth else (shared, kafka)
    new, old = ("statefulset", "deployment") if forth else ("deployment", "statefulset")
    apply, scale, ready, delete, *consumers = in_cluster(wanted, before)
    assert apply == "kubectl apply -f /opt/a/kubernetes"
    assert scale.startswith(f"kubectl scale {new}/retell-ws-server --replicas=$(kubectl get {old}/retell-ws-server ")
    assert ready == f"kubectl rollout status {new}/retell-ws-server --timeout=10m"
    assert delete == f"kubectl delete {old}/retell-ws-server --cascade=foreground", "it waits for the last call"
    assert bool(consumers) is not forth, "they are read to the end by those who kept what there is to read"
    said = words(wanted, before)
    assert ("The volumes stay." in said) is not forth
    back = f"$ /bin/retell_ws blueprint apply {before.blueprint} --into /opt/a" + ("" if forth else " --kafka k:1")
    assert back in said.splitlines() and said.index("server by server") < said.index(back)


@pytest.mark.parametrize(
    ("wanted", "before"),
    [
        (setup("distributed"), None),
        (setup("distributed"), setup("single")),
        (setup("distributed"), setup("events")),
        (setup("distributed", servers=4), setup("distributed")),
        (setup("events", kafka="k:1", servers=4), setup("events", kafka="k:1")),
        (setup("single"), setup("distributed")),
        (setup("events"), setup("events", kafka="k:1")),
    ],
)
def test_in_a_cluster_nothing_is_deleted_that_goes_on_or_was_not_there(wanted: Wanted, before: Wanted | None) -> None:
    assert not any("delete" in command for command in in_cluster(wanted, before))
    assert "manifests of the old set-up" not in words(wanted, before)


def test_in_a_cluster_what_ran_there_before_a_time_elsewhere_goes_as_well() -> None:
    kafka = setup("events", kafka="k:1")
    single = setup("single", kafka)
    sections = told(setup("distributed", single), single, changed=(), earlier={"events": kafka})
    (lines,) = (each.lines for each in sections if each.title == "In Kubernetes")
    assert any("kubectl delete statefulset/retell-ws-server" in line for line in lines)
    assert any("kubectl delete deployment/retell-ws-analytics" in line for line in lines)


def test_in_a_cluster_what_comes_back_after_a_time_elsewhere_deletes_nothing() -> None:
    shared = setup("distributed")
    single = setup("single", shared)
    found = told(setup("distributed", single), single, changed=(), earlier={"distributed": shared})
    assert not any("kubectl delete" in line for section in found for line in section.lines)


def test_the_image_of_the_containers_is_built_first() -> None:
    for wanted, line in (
        (setup("single"), "docker build -t retell_ws -f /opt/a/Dockerfile ."),
        (setup("events", kafka="k:1"), "docker build -t retell_ws --build-arg EXTRAS=events -f /opt/a/Dockerfile ."),
    ):
        said = words(wanted).splitlines()
        assert said.index(f"$ {line}") < next(n for n, each in enumerate(said) if "docker compose" in each)


def test_what_the_containers_bring_along_is_told() -> None:
    for wanted, brought in (
        (setup("single"), None),
        (setup("distributed"), "Redis"),
        (setup("events"), "Redis, Kafka and the consumers"),
        (setup("events", kafka="k:1"), "Redis, Kafka and the consumers"),
    ):
        found = re.search(r"They bring (.*) along, whatever runs on this machine", words(wanted))
        assert (found and found[1]) == brought
        if found:
            services = compose_files("events" if wanted.blueprint == "events" else "distributed", **CONTAINERS)
            assert ("kafka:\n" in "".join(services.values())) is ("Kafka" in found[1])


def test_in_a_container_too_the_old_server_stays_until_no_redial_is_awaited() -> None:
    before = setup("single")
    said = words(setup("distributed", before), before)
    order = ("docker kill -s USR2", "until docker exec", "docker stop", "--leaving none")
    places = [said.rindex(part) for part in order]
    assert places == sorted(places) and "retell_ws_live_calls 0" in said[places[1] : places[2]]


async def test_in_containers_the_only_server_waits_for_the_calls_of_the_others(tmp_path: Path) -> None:
    before = setup("events", kafka="k:1", servers=2)
    said = words(setup("single", before), before)
    commands = [line[2:] for line in said.splitlines() if line.startswith("$ ") and "docker" in line]
    build, wait, up, stop, clean = commands
    assert "docker build" in build and up.endswith("/compose.yaml up --wait") and clean == f"{up} --remove-orphans"
    assert stop == "docker stop -t 150 retell_ws-server1-1 retell_ws-server2-1"
    # The second server has two calls the first time, and none the second.
    (tmp_path / "docker").write_text(
        "#!/bin/sh\necho retell_ws_live_calls_total 9\n"
        f"echo $2 >> {tmp_path}/asked\n[ $(wc -l < {tmp_path}/asked) = 2 ] && n=2\n"
        "echo retell_ws_live_calls ${n:-0}.0\n"
    )
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    waiting = await asyncio.create_subprocess_exec(
        "bash", "-euc", wait, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert await waiting.wait() == 0
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["retell_ws-server1-1", "retell_ws-server2-1"] * 2


@pytest.mark.parametrize(
    ("before", "wanted", "goes"),
    [
        (setup("distributed", servers=4), {"blueprint": "distributed", "servers": 2}, True),
        (setup("events", kafka="k:1"), {"blueprint": "distributed"}, True),
        (setup("distributed"), {"blueprint": "distributed", "servers": 4}, False),
        (setup("distributed"), {"blueprint": "events", "kafka": "k:1"}, False),
    ],
)
def test_containers_that_nobody_needs_any_more_go(before: Wanted, wanted: dict[str, Any], goes: bool) -> None:
    assert ("--remove-orphans" in words(setup(before=before, **wanted), before)) is goes


def test_a_balancer_of_somebody_s_own_is_told_whom_to_ask_first() -> None:
    before = setup("single", proxy="none")
    assert "ask 127.0.0.1:8081 first" in words(setup("distributed", before), before)


def test_the_readme_has_the_commands_that_are_told() -> None:
    (block,) = re.findall(r"<!-- joining:begin -->\n(.*?)<!-- joining:end -->", README.read_text("utf-8"), re.DOTALL)
    first, *said = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    assert first == "retell_ws blueprint apply distributed --into /opt/agent --yes"
    options = Options()
    before = next_setup("single", "/opt/agent", "/bin/retell_ws", options, before=None, own={})
    wanted = next_setup("distributed", "/opt/agent", "/bin/retell_ws", options, before=before, own={})
    commands = [command.replace("/bin/retell_ws", "retell_ws") for command in steps(wanted, before)]
    assert commands == said
