"""`blueprint apply` into an empty folder, one that moves on, one that was edited; every file has its reader."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from retell_ws.__main__ import app, main
from retell_ws.deploy.files import Blueprint
from retell_ws.deploy.folder import REMEMBERED
from retell_ws.errors import AddressInUseError, UsageError
from retell_ws.rules import read as read_rules
from retell_ws.settings import load
from retell_ws.testing.retell import FakeRetell

from ..deploy.proxies import commands
from ..machine import free_port, program
from ..processes import ready
from ..redis_servers import RedisServer, valkey
from .test_migration import ROOT, row_of_ports

yaml = pytest.importorskip("yaml")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

BLUEPRINTS: tuple[Blueprint, ...] = ("single", "distributed", "events")
KAFKA = ("--kafka", "127.0.0.1:9092")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agent"


def apply(folder: Path, blueprint: str, *options: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["blueprint", "apply", blueprint, "--into", str(folder), *options])
    assert caught.value.code == status


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def steps(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The commands that were told, of whatever way to run it."""
    return re.findall(r"^    \$ .*", capsys.readouterr().out, re.MULTILINE)


async def accepted(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


# ---------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_the_settings_are_those_of_the_blueprint(folder: Path, blueprint: Blueprint) -> None:
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    settings = load(config=folder / "retell_ws.toml", environment={})
    assert settings.blueprint == blueprint
    assert settings.is_shared() == (blueprint != "single")
    assert settings.kafka_bootstrap == ("127.0.0.1:9092" if blueprint == "events" else "")
    for line in (folder / "retell_ws.toml").read_text().splitlines():
        assert line.startswith("# ") or "=" in line or not line


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_each_blueprint_has_its_files(folder: Path, blueprint: Blueprint) -> None:
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    found = {name for name in texts(folder) if not name.startswith("kubernetes/")}
    expected = {"retell_ws.toml", "retell_ws.env.example", "compose.yaml", "haproxy.cfg", "Dockerfile", REMEMBERED}
    expected |= {"retell_ws.service" if blueprint == "single" else "retell_ws@.service"}
    if blueprint == "events":
        expected |= {"compose.events.yaml", "retell_ws-consume@.service", "rules.toml"}
        read_rules((folder / "rules.toml").read_text(), "rules.toml")
    assert found == expected
    assert (folder / "kubernetes").is_dir() == (blueprint != "single")
    for path in (folder / "kubernetes").glob("*.yaml"):
        for thing in yaml.safe_load_all(path.read_text()):
            if "keda" not in thing["apiVersion"]:
                kubernetes_validate.validate(thing, "1.31", strict=True)


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
async def test_a_proxy_accepts_its_file_also_while_a_server_leaves(folder: Path, proxy: Any) -> None:
    for blueprint in ("single", "distributed"):
        apply(folder, blueprint, "--yes", "--proxy", proxy)
        file = folder / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[proxy]
        copy = folder / "checked"
        copy.write_text(file.read_text().replace("/var/log/nginx/", f"{folder}/"))
        told = await accepted(*commands(proxy, copy)[0])
        assert "[WARNING]" not in told and "[warn]" not in told
        assert "127.0.0.1:8081" in copy.read_text(), "as the server, and then as the one that leaves"


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
async def test_systemd_accepts_the_units(folder: Path, blueprint: Blueprint) -> None:
    verify = program("systemd-analyze", optional=True)
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    for unit in sorted(folder.glob("*.service")):  # noqa: ASYNC240
        name = unit.name.replace("@", "@analytics" if "consume" in unit.name else "@8081")
        copy = folder / "units" / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(unit.read_text())
        told = await accepted(verify, "verify", "--man=no", "--recursive-errors=no", str(copy))
        assert name not in told, "there is nothing to warn of"
        await accepted(verify, "security", "--offline=true", "--threshold=20", "--no-pager", str(copy))


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_units_are_started_anew_for_as_long_as_it_takes(folder: Path, blueprint: Blueprint) -> None:
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    for unit in folder.glob("*.service"):
        lines = unit.read_text().splitlines()
        service = lines.index("[Service]")
        assert "StartLimitIntervalSec=0" in lines[lines.index("[Unit]") : service]
        assert {"Restart=always", "RestartSec=1"} <= set(lines[service:])
        assert f"RestartPreventExitStatus={UsageError.exit_status}" in lines
        assert f"RestartPreventExitStatus={AddressInUseError.exit_status}" not in lines
        (start,) = (line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
        instance = "analytics" if "consume" in unit.name else "8081"
        words = shlex.split(start.replace("%i", instance).rpartition("retell_ws ")[2])
        command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        assert command.__name__ == words[0]


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_compose_has_the_servers_and_what_they_depend_on(folder: Path, blueprint: Blueprint) -> None:
    more = () if blueprint == "single" else ("--servers", "4")
    apply(folder, blueprint, "--yes", *more, *(KAFKA if blueprint == "events" else ()), "--image", "x.example/a:1")
    names = ["server"] if blueprint == "single" else [f"server{n}" for n in range(1, 5)]
    for file in folder.glob("compose*.yaml"):
        found = yaml.safe_load(file.read_text())
        services = found["services"]
        assert [name for name in services if name.startswith("server")] == names
        assert not any("build" in service for service in services.values())
        for name in names:
            assert f" {name}:8080" in found["configs"]["haproxy"]["content"]
            assert f" {name}:8081" in found["configs"]["haproxy"]["content"], "webhooks, as in haproxy.cfg beside it"
        assert "path /webhook" in found["configs"]["haproxy"]["content"]
        assert "livez" in services["haproxy"]["healthcheck"]["test"][-1], "the gateway has no /readyz"
        for service in services.values():
            for volume in service.get("volumes", []):
                kept = volume.partition(":")[0]
                assert not re.fullmatch(r"\w+", kept) or kept in found["volumes"]
    first = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert set(first["haproxy"]["depends_on"]) == set(names)
    assert {"RETELL_API_KEY", "RETELL_WEBHOOK_KEY"} <= first[names[0]]["environment"].keys()
    assert ("redis" in first) == (blueprint != "single")
    server = first[names[0]]
    assert server["image"] == "x.example/a:1" and server["environment"]["RETELL_WS_BLUEPRINT"] != "events"
    mounted = dict(volume.rsplit(":", 2)[:2] for volume in server["volumes"])
    assert mounted == {"${AGENT:-./agent.py}": "/agent/agent.py", "./retell_ws.toml": "/etc/retell_ws/retell_ws.toml"}
    assert server["environment"]["RETELL_WS_CONFIG"] in mounted.values()


@pytest.mark.parametrize(("blueprint", "stop_s"), [("single", 360), ("distributed", 360), ("events", 390)])
def test_a_server_is_killed_by_nobody_while_it_drains(
    folder: Path, blueprint: Blueprint, stop_s: int, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "single", "--yes")
    with (folder / "retell_ws.toml").open("a") as file:
        file.write("drain_s = 300\n")
    capsys.readouterr()
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    unit = folder / ("retell_ws.service" if blueprint == "single" else "retell_ws@.service")
    assert f"\nTimeoutStopSec={stop_s}\n" in unit.read_text()
    for compose in folder.glob("compose*.yaml"):
        services = yaml.safe_load(compose.read_text())["services"]
        periods = {services[name]["stop_grace_period"] for name in services if name.startswith("server")}
        assert periods == {f"{stop_s}s"}, compose.name
    apply(folder, blueprint)  # without the changes, which show what was there as well
    for told in (capsys.readouterr().out.rpartition("nothing to change")[2], (folder / "Dockerfile").read_text()):
        assert set(re.findall(r"docker stop -t (\d+)", told)) <= {str(stop_s)}


def test_no_secret_is_written(folder: Path) -> None:
    apply(folder, "events", "--yes", *KAFKA)
    example = (folder / "retell_ws.env.example").read_text()
    values = re.findall(r"^(?:# )?[A-Z_]+=(.*)$", example, re.MULTILINE)
    assert set(values) == {"", "compose.yaml:compose.events.yaml"} and len(values) > 8
    apply(folder, "events", "--redis-url", "redis://:pass@store:6379", status=2)


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
async def test_the_file_of_secrets_that_is_made_takes_nothing_from_the_shell_and_is_made_once(
    folder: Path, blueprint: Blueprint, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, blueprint, "--yes")
    steps = [line.strip()[2:] for line in capsys.readouterr().out.splitlines() if "retell_ws.env" in line]
    make, read = (next(step for step in steps if step.startswith(word)) for word in ("[ -e", "set -a"))
    script = f"set -eu; export ANTHROPIC_API_KEY=mine; env | sort; echo; {make}; {read}; env | sort"
    before, after = (await accepted("bash", "-c", script)).split("\n\n")
    assert "ANTHROPIC_API_KEY=mine\n" in after
    assert before.splitlines() == after.splitlines()
    made = folder / "retell_ws.env"
    assert made.stat().st_mode & 0o777 == 0o600
    made.write_text("ANTHROPIC_API_KEY=filled\n")
    assert "ANTHROPIC_API_KEY=filled\n" in await accepted("bash", "-c", script)


@pytest.mark.parametrize("own", ["", "data"])
async def test_what_was_said_is_found_by_the_commands_as_they_are_told(
    folder: Path, tmp_path: Path, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()  # noqa: ASYNC240  # nothing else runs
    if own:
        (folder / "retell_ws.toml").write_text(f'data = "{tmp_path / own}"\n')
    (folder / "agent.py").write_text("from retell_ws import Agent\nagent = Agent('You are Ana.')\n")
    apply(folder, "events", "--yes", "--proxy", "none", "--leaving", "none", "--port", str(row_of_ports(1)))
    told = [step.strip(" $&") for step in steps(capsys)]
    serve, report, transcripts = (
        next(step for step in told if f"retell_ws {word}" in step) for word in ("serve", "report", "transcripts")
    )
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PYTHONPATH": str(ROOT)}
    # Elsewhere than in the folder, which is where the names would lead without a file of settings.
    process = await asyncio.create_subprocess_exec(
        *shlex.split(serve), cwd=tmp_path, env={**env, "RETELL_WS_GRACE_S": "0.1"}, stdout=asyncio.subprocess.PIPE
    )
    async with ready(process) as line, FakeRetell(line["ws"], call_id="call_kept") as retell:
        await retell.ask("What are your hours?")
        await retell.hang_up()
        process.terminate()  # the consumers end with what they have
        await process.communicate()
    assert "call_kept" in await accepted(*shlex.split(transcripts), cwd=tmp_path, env=env)
    assert "1 call" in await accepted(*shlex.split(report), cwd=tmp_path, env=env)


async def test_an_agent_that_is_not_there_is_told_of_and_can_be_written_as_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "single", "--yes")
    first, *_ = steps(capsys)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    await accepted(*shlex.split(first.strip(" $")), cwd=tmp_path, env=env)
    assert (folder / "agent.py").is_file()
    apply(folder, "single")
    assert not any(" new " in step for step in steps(capsys))


def test_an_agent_of_another_name_that_is_not_there_is_told_of(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (("--yes", "--agent", str(tmp_path / "nope.py")), ()):
        apply(folder, "distributed", *options)
        told = capsys.readouterr().out
        assert f"{tmp_path / 'nope.py'} is not there" in told and " new " not in "".join(re.findall(r"\$ .*", told))
        assert told.index("is not there") < told.index("Next, on one machine")


@pytest.mark.parametrize("place", ["in the settings", "in the environment"])
async def test_redis_is_asked_as_the_servers_ask_it_and_no_password_is_shown(
    folder: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options, admin = ("--requirepass", "hunter2"), {"password": "hunter2"}
    with RedisServer(valkey(), tmp_path / "redis", port=free_port(), options=options, admin=admin) as redis:
        url = redis.url.replace("redis://", "redis://:hunter2@")
        folder.mkdir()  # noqa: ASYNC240  # nothing else runs
        own = url if place == "in the settings" else redis.url
        (folder / "retell_ws.toml").write_text(f'blueprint = "distributed"\nredis_url = "{own}"\n')
        apply(folder, "distributed", "--yes", "--servers", "2")
        told = capsys.readouterr().out
        assert "hunter2" not in told and f"Redis 7 or Valkey: {redis.url}\n" in told
        (ask,) = (step for step in re.findall(r"^    \$ (.*)", told, re.MULTILINE) if "--only redis" in step)
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        more = {"RETELL_WS_REDIS_URL": url} if place == "in the environment" else {}
        assert "reachable        pass" in await accepted(*shlex.split(ask), cwd=tmp_path, env={**env, **more})
        with pytest.raises(AssertionError, match="reachable"):
            wrong = url.replace("hunter2", "hunter3")
            await accepted(*shlex.split(ask), cwd=tmp_path, env={**env, "RETELL_WS_REDIS_URL": wrong})


def in_kubernetes(folder: Path, name: str, kind: str) -> dict[str, Any]:
    things = yaml.safe_load_all((folder / "kubernetes" / name).read_text())
    return next(thing for thing in things if thing["kind"] == kind)


def test_pods_have_the_settings_of_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    own = 'max_calls = 50\nmodel_name = "claude-x"\nspeculate = false\nbudget_ms = 900\ndrain_s = 120.5\n'
    secret = 'path_secret = "aaaaaaaaaaaaaaaaaaaaaaaa"\n'
    (folder / "retell_ws.toml").write_text(f'blueprint = "distributed"\n{own}{secret}')
    apply(folder, "distributed", "--yes", "--redis-url", "redis://store:6379")
    inside = in_kubernetes(folder, "10-config.yaml", "ConfigMap")["data"]
    settings = load(environment={**inside, "RETELL_WS_REDIS_URL": "redis://store:6379"})
    assert (settings.max_calls, settings.model_name, settings.speculates()) == (50, "claude-x", False)
    assert (settings.budget_ms, settings.drain_s, settings.path_secret) == (900, 121, "")
    scaler = in_kubernetes(folder, "50-scaling.yaml", "HorizontalPodAutoscaler")
    assert scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "30"
    pod = in_kubernetes(folder, "20-servers.yaml", "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 221
    told = capsys.readouterr().out
    assert "path_secret is not in the manifests: it belongs into the Secret" in told
    assert "pods reach Redis" not in told, "they reach it where it is"


def test_an_archive_that_no_manifest_can_name_is_no_obstacle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_text('archive = "s3://ana:hunter2@bucket/calls of ours"\n')
    apply(folder, "events", "--yes", "--kafka", "kafka:9092")
    inside = in_kubernetes(folder, "10-config.yaml", "ConfigMap")["data"]
    assert "RETELL_WS_ARCHIVE" not in inside and "hunter2" not in "".join(inside.values())
    assert "archive is not in the manifests" in capsys.readouterr().out


def test_pods_are_not_sent_to_this_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(folder, "events", "--yes", *KAFKA)
    told = capsys.readouterr().out
    assert "127.0.0.1" not in "".join(path.read_text() for path in (folder / "kubernetes").iterdir())
    placeholder = in_kubernetes(folder, "10-config.yaml", "ConfigMap")["data"]["RETELL_WS_KAFKA_BOOTSTRAP"]
    assert f"No pod reaches Kafka at 127.0.0.1:9092: the manifests say {placeholder}." in told
    assert "where pods reach Redis, not redis://127.0.0.1:6379/0." in told
    apply(folder, "events", "--yes", "--kafka", "broker.example:9092", "--redis-url", "redis://store.example")
    told = capsys.readouterr().out
    assert "No pod reaches" not in told and "pods reach Redis" not in told


# ---------------------------------------------------------------------------- what is there already


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_a_second_time_there_is_nothing_to_change(
    folder: Path, blueprint: Blueprint, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, blueprint, "--yes", *(KAFKA if blueprint == "events" else ()))
    before = texts(folder)
    first = steps(capsys)
    apply(folder, blueprint)
    told = capsys.readouterr().out
    assert told.startswith(f"{folder}: nothing to change") and "\n+" not in told
    assert re.findall(r"^    \$ .*", told, re.MULTILINE) == first, "they can be read again"
    assert texts(folder) == before


def test_the_steps_of_a_move_can_be_read_before_and_as_often_as_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "single", "--yes")
    capsys.readouterr()
    apply(folder, "distributed", "--dry-run")
    before = steps(capsys)
    assert any("pkill -USR2" in step for step in before) and not (folder / "retell_ws@.service").exists()
    apply(folder, "distributed", status=1)
    assert steps(capsys) == before, "nobody is here to ask"
    apply(folder, "distributed", "--yes")
    assert steps(capsys) == before
    (folder / "Dockerfile").write_text("# mine\n")
    apply(folder, "distributed", "--yes", "--force")
    assert not any("pkill -USR2" in step for step in steps(capsys)), "of that alone nothing follows"
    apply(folder, "distributed", "--yes", "--domain", "voice.example.com")
    steps(capsys)
    for options in ((), ("--dry-run",), ("--yes",)):
        apply(folder, "distributed", *options)
        assert steps(capsys) == before, "the old server is still to be stopped"
    apply(folder, "distributed", "--yes", "--leaving", "none")
    steps(capsys)
    apply(folder, "distributed")
    assert not any("pkill -USR2" in step for step in steps(capsys)), "it has gone"


def test_one_file_is_not_called_several(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(folder, "single", "--yes")
    (folder / "Dockerfile").unlink()
    for option in ("--dry-run", "--yes"):
        capsys.readouterr()
        apply(folder, "single", option)
        said = "1 file to write" if option == "--dry-run" else "1 file written"
        assert f"single: {said}, 0 " in capsys.readouterr().out


def test_what_changes_no_file_is_remembered_as_well(folder: Path) -> None:
    apply(folder, "single", "--yes")
    apply(folder, "single", "--yes", "--domain", "voice.example.com")
    apply(folder, "distributed", "--yes")
    assert any("voice.example.com" in text for text in texts(folder).values())
    assert "voice.example.com" in "".join(path.read_text() for path in (folder / "kubernetes").iterdir())


def test_a_set_up_moves_on_and_settings_of_the_owner_s_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(folder, "single", "--yes")
    file = folder / "retell_ws.toml"
    file.write_text(f"# Ana's\nmax_calls = 7  # few\n{file.read_text()}")
    apply(folder, "distributed", "--yes")
    assert file.read_text().startswith("# Ana's\nmax_calls = 7  # few\n")
    assert tomllib.loads(file.read_text()) == {
        "max_calls": 7,
        "blueprint": "distributed",
        "redis_url": "redis://127.0.0.1:6379/0",
    }
    assert "From single to distributed" in capsys.readouterr().out
    apply(folder, "events", "--yes", *KAFKA)
    assert load(config=file, environment={}).kafka_bootstrap == "127.0.0.1:9092"
    assert "retell_ws.service" in texts(folder), "the old server may still run by it"


def things(folder: Path) -> set[str]:
    """All that `kubectl apply` makes of the folder, by kind and name."""
    found = [thing for path in (folder / "kubernetes").iterdir() for thing in yaml.safe_load_all(path.read_text())]
    return {f"{thing['kind'].lower()}/{thing['metadata']['name']}" for thing in found}


def test_what_was_in_the_cluster_and_is_no_more_is_deleted_and_volumes_stay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "distributed", "--yes")
    moves = [("events", KAFKA), ("distributed", ()), ("events", KAFKA)]
    for blueprint, options in moves:
        before = things(folder)
        capsys.readouterr()
        apply(folder, blueprint, "--yes", *options)
        told = capsys.readouterr().out
        deleted = {
            word.replace(".keda.sh", "")
            for command in re.findall(r"^    \$ kubectl delete (.*)", told, re.MULTILINE)
            for word in command.split()
            if "/" in word
        }
        gone = before - things(folder)
        assert deleted == {each for each in gone if not each.startswith("persistentvolumeclaim/")}
        for volume in gone - deleted:
            assert f"{volume.partition('/')[2]} has figures" in told


def test_the_latest_that_ran_in_kubernetes_is_what_goes_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    blueprints = ("events", "single", "distributed", "distributed", "single", "distributed")
    for name in blueprints:
        capsys.readouterr()
        apply(folder, name, "--yes", *(KAFKA if name == "events" else ()))
        told.append([command for command in steps(capsys) if "kubectl delete" in command])
    assert [any("statefulset/retell-ws-server" in command for command in commands) for commands in told] == [
        *(False, False, True, True),  # also when it is told again
        *(False, False),
    ]


def test_manifests_of_an_earlier_set_up_are_removed_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply(folder, "events", "--yes", *KAFKA)
    (folder / "kubernetes" / "70-archive.yaml").write_text("# mine\n")
    (folder / "kubernetes" / "80-ours.yaml").write_text("# mine\n")
    capsys.readouterr()
    apply(folder, "distributed", "--dry-run")
    told = capsys.readouterr().out
    assert "--- kubernetes/70-analytics.yaml\n+++ /dev/null\n" in told and "2 to remove" in told
    assert (folder / "kubernetes" / "70-analytics.yaml").exists()
    apply(folder, "distributed", "--yes")
    told = capsys.readouterr().out
    assert ", 2 removed" in told and "kubernetes/70-archive.yaml is not part of it any more, and stays" in told
    assert "80-ours" not in told
    found = {path.name for path in (folder / "kubernetes").iterdir()}
    assert {"70-archive.yaml", "80-ours.yaml"} <= found and not {"60-data.yaml", "70-analytics.yaml"} & found
    apply(folder, "distributed")
    told = capsys.readouterr().out
    assert "nothing to change" in told and "70-archive.yaml is not part of it any more" in told
    apply(folder, "events", "--yes", "--force", *KAFKA)
    assert "consume, archive" in (folder / "kubernetes" / "70-archive.yaml").read_text()


def test_manifests_stay_while_nothing_of_them_is_handed_on(folder: Path) -> None:
    apply(folder, "events", "--yes", *KAFKA)
    apply(folder, "single", "--yes")
    assert (folder / "kubernetes" / "70-analytics.yaml").exists()
    apply(folder, "distributed", "--yes")
    assert not (folder / "kubernetes" / "70-analytics.yaml").exists()


def test_there_and_back_again_the_owner_s_settings_are_as_they_were(folder: Path) -> None:
    folder.mkdir()
    file = folder / "retell_ws.toml"
    own = 'blueprint = "distributed"\nredis_url = "redis://:hunter2@store:6379/3"  # the big one\nworkers = 2\n'
    file.write_text(own)
    apply(folder, "distributed", "--yes", "--servers", "5")
    apply(folder, "single", "--yes")
    assert tomllib.loads(file.read_text()).keys().isdisjoint({"redis_url", "workers"})
    apply(folder, "distributed", "--yes")
    assert file.read_text() == own
    assert len(re.findall("server s", (folder / "haproxy.cfg").read_text())) == 2 * 5


def test_there_and_back_again_what_was_asked_for_is_as_it_was(folder: Path) -> None:
    apply(folder, "events", "--yes", *KAFKA, "--redis-url", "redis://store/3", "--servers", "2")
    before = load(config=folder / "retell_ws.toml", environment={})
    for blueprint in ("distributed", "single", "single"):
        apply(folder, blueprint, "--yes", "--leaving", "none")
    apply(folder, "events", "--yes")
    assert load(config=folder / "retell_ws.toml", environment={}) == before
    assert len(re.findall("server w", (folder / "haproxy.cfg").read_text())) == 2
    apply(folder, "distributed", "--yes", "--redis-url", "redis://other")
    apply(folder, "events", "--yes", "--kafka", "none", "--servers", "1")
    apply(folder, "distributed", "--yes")
    apply(folder, "events", "--yes", "--servers", "1")
    assert load(config=folder / "retell_ws.toml", environment={}).kafka_bootstrap == "", "that was the last word"


def test_what_is_said_now_wins_over_what_was_commented_out(folder: Path) -> None:
    folder.mkdir()
    file = folder / "retell_ws.toml"
    file.write_text('blueprint = "distributed"\nredis_url = "redis://store"\n')
    apply(folder, "single", "--yes")
    apply(folder, "distributed", "--yes", "--redis-url", "redis://other")
    assert tomllib.loads(file.read_text())["redis_url"] == "redis://other"
    assert '# redis_url = "redis://store"\n' in file.read_text()


def test_what_contradicts_the_blueprint_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_text('workers = 4\nredis_url = "redis://x"\nblueprint = "distributed"\n')
    apply(folder, "single", "--yes")
    told = capsys.readouterr().out
    assert "retell_ws.toml: workers is commented out: `single` is one process" in told
    assert "retell_ws.toml: blueprint contradicts the blueprint, and becomes 'single'" in told
    assert load(config=folder / "retell_ws.toml", environment={}).blueprint == "single"


def test_a_file_that_somebody_edited_is_left_alone_and_so_is_all_else(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "single", "--yes")
    (folder / "haproxy.cfg").write_text("# mine\n")
    before = texts(folder)
    apply(folder, "distributed", "--yes", status=1)
    assert "edited by somebody, --force overwrites: haproxy.cfg\n" in capsys.readouterr().err
    assert texts(folder) == before
    apply(folder, "distributed", "--yes", "--force")
    assert "leaving" in (folder / "haproxy.cfg").read_text()


def test_a_file_of_somebody_else_s_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "compose.yaml").write_text("services: {}\n")
    apply(folder, "single", "--yes", status=1)
    assert texts(folder) == {"compose.yaml": "services: {}\n"}


@pytest.mark.parametrize(("options", "status"), [(("--dry-run",), 0), ((), 1)])
def test_without_a_yes_nothing_is_written(
    folder: Path, options: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "single", *options, status=status)
    told = capsys.readouterr().out
    assert "Nothing was written" in told and '\n+blueprint = "single"\n' in told
    assert not folder.exists()


def test_a_link_is_not_followed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name, blueprint in (("haproxy.cfg", "single"), ("kubernetes", "distributed")):
        (folder / name).symlink_to(tmp_path / "elsewhere")
        apply(folder, blueprint, "--yes", "--force", status=2)
        assert f"{name} is a link" in capsys.readouterr().err
        (folder / name).unlink()
    assert not any((tmp_path / "elsewhere").iterdir()) and not any(folder.iterdir())


def test_secrets_in_the_settings_are_not_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_text(
        'admin_token = "aaaaaaaaaaaaaaaaaaaaaaaa"\nredis_url = "redis://:hunter2@store"\nblueprint = "distributed"\n'
    )
    for blueprint in ("distributed", "single"):
        apply(folder, blueprint, "--yes", "--force")
    told = capsys.readouterr()
    assert "aaaaaaaa" not in told.out + told.err and "hunter2" not in told.out + told.err
    assert "hunter2" not in (folder / REMEMBERED).read_text()
    assert "redis_url = ***" in told.out
    assert "aaaaaaaa" in (folder / "retell_ws.toml").read_text()


@pytest.mark.parametrize("mark", ["", "#", "# ", "## "])
def test_secrets_are_not_shown_however_they_are_written(
    folder: Path, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_text(
        f'{mark}path_secret = "aaaaaaaaaaaaaaaaaaaaaaaa"\n'
        f'{mark}redis_url = "redis://store?username=ana&password=hunter2"\nblueprint = "distributed"\n'
    )
    for blueprint in ("distributed", "single", "distributed"):
        apply(folder, blueprint, "--yes", "--force")
    told = capsys.readouterr()
    assert "aaaaaaaa" not in told.out + told.err and "hunter2" not in told.out + told.err
    assert "hunter2" not in (folder / REMEMBERED).read_text()
    assert "hunter2" in (folder / "retell_ws.toml").read_text()
    (folder / REMEMBERED).chmod(0o644)
    apply(folder, "distributed", "--yes", "--servers", "4")
    assert (folder / REMEMBERED).stat().st_mode & 0o777 == 0o600


def test_secrets_over_several_lines_are_not_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_text(
        'path_secret = """\\\n  aaaaaaaaaaaaaaaaaaaaaaaa"""\nblueprint = "distributed"\n'
        'redis_url = """\\\n  redis://:hunter2@store"""\n'
    )
    for blueprint in ("distributed", "single", "single"):
        apply(folder, blueprint, "--yes", "--force")
        text = (folder / "retell_ws.toml").read_text()  # beside it there is always something to show
        (folder / "retell_ws.toml").write_text(text.replace('store"""\n', 'store"""\nkafka_bootstrap = "k:1"\n'))
    told = capsys.readouterr()
    assert "aaaaaaaa" not in told.out + told.err and "hunter2" not in told.out + told.err
    assert "hunter2" in (folder / "retell_ws.toml").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = ", "is no TOML"),
        ("[x]\n", "is no setting"),
        ("blueprnt = 1\n", "did you mean blueprint?"),
        ("\udcff", "no text of ours"),
        (f"port = {'[' * 5000}", "nested too deep"),
    ],
)
def test_settings_that_are_none_are_told(
    folder: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "retell_ws.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    apply(folder, "single", "--yes", status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and str(folder / "retell_ws.toml") in line


def test_a_memory_that_is_not_ours_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / REMEMBERED).write_text("{}")
    apply(folder, "single", "--yes", status=2)
    assert "delete it" in capsys.readouterr().err


def test_a_memory_of_what_can_be_no_more_is_told_and_no_option(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(folder, "distributed", "--yes", "--redis-url", "unix:///run/redis.sock")
    memory = (folder / REMEMBERED).read_text()
    (folder / REMEMBERED).write_text(memory.replace("unix:///", "unix:/"))
    capsys.readouterr()
    apply(folder, "distributed", "--yes", status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert str(folder / REMEMBERED) in line and "--redis-url" not in line


def test_a_file_keeps_its_rights(folder: Path) -> None:
    apply(folder, "single", "--yes")
    os.chmod(folder / "retell_ws.toml", 0o600)
    apply(folder, "distributed", "--yes")
    assert (folder / "retell_ws.toml").stat().st_mode & 0o777 == 0o600
    assert not [name for name in texts(folder) if "tmp" in name]


def test_a_file_keeps_its_owner(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may give files away")
    apply(folder, "single", "--yes")
    os.chown(folder / "retell_ws.toml", 1234, 1235)
    apply(folder, "distributed", "--yes")
    found = (folder / "retell_ws.toml").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_pipe_is_no_file_and_nobody_is_waited_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    os.mkfifo(folder / "Dockerfile")
    apply(folder, "single", "--yes", status=2)
    assert "is no file" in capsys.readouterr().err


def test_nobody_who_answers_is_a_no(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)

    def ended(prompt: str = "") -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    apply(folder, "single", status=1)
    assert "Nothing was written" in capsys.readouterr().out


def test_python_itself_may_be_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/python/bin/python3")
    apply(folder, "single", "--yes")
    start = f"/opt/python/bin/python3 -m retell_ws serve {folder}/agent.py --config {folder}/retell_ws.toml"
    assert f"ExecStart={start}\n" in (folder / "retell_ws.service").read_text()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    apply(tmp_path / "file", "single", "--yes", status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot read" in line or "cannot write" in line
