"""Where settings come from, which one wins, and the one line each mistake gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from retell_ws.errors import SettingsError
from retell_ws.settings import WHOLE, Settings, environment_of, load

SECRET = "abcdefgh-IJKLMNOP_0123"
OTHER = "zyxwvuts-9876543210"
ODD = {
    "details_wait_ms": 7,
    "speculate": True,
    "consume": True,
    "http_port": 9,
    "admin_token": "abcdefgh-IJKLMNOP_4567",
    "workers": 1,  # more need the other blueprint
    "drain_delay_s": 2.5,
}
"""Values of settings whose default has no neighbour."""


def loaded(
    flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None, config: Path | None = None
) -> Settings:
    return load(flags, environment=environment or {}, config=config)


def refused(
    flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None, config: Path | None = None
) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(flags, environment, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


# ---------------------------------------------------------------------------- sources


def test_without_any_source_the_defaults_hold() -> None:
    assert loaded() == Settings()


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(toml: Path) -> None:
    toml.write_text("port = 1\nmax_calls = 1\ngrace_s = 1\n")
    environment = {"RETELL_WS_PORT": "2", "RETELL_WS_MAX_CALLS": "2"}
    settings = loaded({"port": 3}, environment, toml)
    assert (settings.port, settings.max_calls, settings.grace_s, settings.drain_s) == (3, 2, 1.0, Settings().drain_s)


def test_a_flag_that_was_not_given_beats_nothing() -> None:
    assert loaded({"port": None}, {"RETELL_WS_PORT": "2"}).port == 2


def test_the_environment_may_name_the_file_and_the_flag_another(toml: Path, tmp_path: Path) -> None:
    toml.write_text("port = 1")
    other = tmp_path / "other.toml"
    other.write_text("port = 2")
    environment = {"RETELL_WS_CONFIG": str(toml)}
    assert loaded(environment=environment).port == 1
    assert loaded(environment=environment, config=other).port == 2


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETELL_WS_MAX_CALLS", "7")
    assert load().max_calls == 7


def sample(name: str) -> Any:
    """A value of the setting's type that is not its default."""
    if name == "path_secret":
        return SECRET
    choices = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"][name].get("enum")
    if choices:
        return choices[-1]
    if name in ODD:
        return ODD[name]
    default = getattr(Settings(), name)
    if isinstance(default, bool):
        return not default
    return f"{default}x" if isinstance(default, str) else default + 1


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_can_come_from_every_source(name: str, toml: Path) -> None:
    value = sample(name)
    toml.write_bytes(f"{name} = ".encode() + msgspec.json.encode(value))
    for settings in (
        loaded({name: value}),
        loaded(environment={f"RETELL_WS_{name.upper()}": str(value)}),
        loaded(config=toml),
    ):
        assert getattr(settings, name) == value
        assert type(getattr(settings, name)) is type(value)


@pytest.mark.parametrize("name", ["speculate", "hedge", "warm_cache", "answer_cache"])
@pytest.mark.parametrize("given", [True, False])
def test_a_truth_can_be_given_either_way_everywhere(name: str, given: bool, toml: Path) -> None:
    toml.write_text(f"{name} = {str(given).lower()}")
    for word in (str(given).lower(), str(int(given)), str(given)):
        assert getattr(loaded(environment={f"RETELL_WS_{name.upper()}": word}), name) is given
    assert getattr(loaded(config=toml), name) is given
    assert getattr(loaded({name: given}), name) is given


def test_no_fallback_is_an_empty_name(toml: Path) -> None:
    toml.write_text('fallback_model = ""')
    assert loaded(config=toml).fallback_model == loaded({"fallback_model": ""}).fallback_model == ""


@pytest.mark.parametrize(("speculate", "speculates"), [(None, False), (True, True), (False, False)])
def test_whether_to_speculate_is_the_blueprint_s_unless_it_is_said(speculate: bool | None, speculates: bool) -> None:
    assert loaded({"speculate": speculate}).speculates() is speculates


@pytest.mark.parametrize(("given", "budget_s"), [(0, 0.8), (450, 0.45)])
def test_the_budget_is_the_blueprint_s_unless_it_is_said(given: int, budget_s: float) -> None:
    assert loaded({"budget_ms": given}).budget_s() == budget_s


def test_kubernetes_service_variables_are_no_settings() -> None:
    # What a pod finds in its environment when a service of the cluster is called "retell-ws".
    environment = {
        "RETELL_WS_SERVICE_HOST": "10.0.0.11",
        "RETELL_WS_SERVICE_PORT": "8080",
        "RETELL_WS_SERVICE_PORT_HTTP": "8080",
        "RETELL_WS_PORT": "tcp://10.0.0.11:8080",
        "RETELL_WS_PORT_8080_TCP": "tcp://10.0.0.11:8080",
        "RETELL_WS_PORT_8080_TCP_PROTO": "tcp",
        "RETELL_WS_PORT_8080_TCP_PORT": "8080",
        "RETELL_WS_PORT_8080_TCP_ADDR": "10.0.0.11",
    }
    assert loaded(environment=environment) == Settings()


def test_variables_of_other_programs_are_left_alone() -> None:
    assert loaded(environment={"PORT": "1", "XRETELL_WS_PORT": "1", "retell_ws_port": "1"}) == Settings()


# ---------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"port": "x"}, "--port: expected `int`, got `str`"),
        ({"port": True}, "--port: expected `int`, got `bool`"),
        ({"port": 1.5}, "--port: expected `int`, got `float`"),
        ({"port": -1}, "--port: expected `int` >= 0"),
        ({"port": 65536}, "--port: expected `int` <= 65535"),
        ({"http_port": 65536}, "--http-port: expected `int` <= 65535"),
        ({"http_port": "x"}, "--http-port: expected `int | null`, got `str`"),
        ({"max_calls": 0}, "--max-calls: expected `int` >= 1"),
        ({"details_wait_ms": 1001}, "--details-wait-ms: expected `int` <= 1000"),
        ({"turn_s": 0}, "--turn-s: expected `float` > 0.0"),
        ({"turn_s": float("nan")}, "--turn-s: expected `float` > 0.0"),
        ({"drain_s": -1.0}, "--drain-s: expected `float` >= 0.0"),
        ({"host": 5}, "--host: expected `str`, got `int`"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(flags: dict[str, Any], line: str) -> None:
    assert refused(flags) == line


@pytest.mark.parametrize("name", ["blueprint", "model", "log_level"])
def test_a_word_that_is_no_choice_is_named_with_its_setting(name: str) -> None:
    assert refused({name: "loud"}).startswith(f"--{name.replace('_', '-')}: ")
    assert "'loud'" in refused(environment={f"RETELL_WS_{name.upper()}": "loud"})


def test_a_wrong_choice_is_answered_with_the_right_ones() -> None:
    assert refused({"model": "gpt"}).endswith("it may be anthropic, anthropic-sdk, scripted")


def test_more_secrets_than_a_rotation_needs_are_refused() -> None:
    assert "two secrets are enough" in refused({"path_secret": ",".join([SECRET, OTHER, SECRET[::-1]])})


def test_a_wrong_value_is_named_with_its_variable() -> None:
    assert refused(environment={"RETELL_WS_MAX_CALLS": "many"}) == "RETELL_WS_MAX_CALLS: expected `int`, got `str`"


def test_a_wrong_value_is_named_with_its_file(toml: Path) -> None:
    toml.write_text("max_calls = 'many'")
    line = refused(config=toml)
    assert "max_calls: expected `int`, got `str`" in line
    assert str(toml) in line


def test_the_source_that_won_is_the_one_named(toml: Path) -> None:
    toml.write_text("port = 'x'")
    assert refused(environment={"RETELL_WS_PORT": "y"}, config=toml).startswith("RETELL_WS_PORT: ")
    assert refused({"port": "z"}, {"RETELL_WS_PORT": "y"}, toml).startswith("--port: ")


def test_an_unknown_name_is_refused_with_the_nearest_known_one(toml: Path) -> None:
    assert refused({"max_cals": 1}) == "--max-cals is no setting; did you mean max_calls?"
    assert refused({"zebra": 1}) == "--zebra is no setting"
    toml.write_text("max-calls = 1")
    line = refused(config=toml)
    assert line.endswith("max-calls is no setting; did you mean max_calls?")
    assert str(toml) in line


def test_a_misspelt_variable_is_refused_with_the_right_one() -> None:
    assert refused(environment={"RETELL_WS_LOGLEVEL": "debug"}) == (
        "RETELL_WS_LOGLEVEL is no setting; did you mean RETELL_WS_LOG_LEVEL?"
    )


def test_a_table_in_the_file_is_no_setting(toml: Path) -> None:
    toml.write_text("[server]\nport = 1")
    assert "server is no setting" in refused(config=toml)


@pytest.mark.parametrize("data", [b"port = ", b"port", b"\xff = 1", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(data: bytes, toml: Path) -> None:
    toml.write_bytes(data)
    assert refused(config=toml).startswith(f"{toml} is no TOML: ")
    assert refused(environment={"RETELL_WS_CONFIG": str(toml)}).startswith(f"{toml} is no TOML: ")


def test_a_file_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("port = " + "[" * 5000)
    with pytest.raises(SettingsError, match=r"settings.toml is no TOML: it is nested too deep"):
        load({}, config=file, environment={})


def test_a_file_that_cannot_be_read_is_named(toml: Path, tmp_path: Path) -> None:
    assert refused(config=toml) == f"cannot read {toml}: No such file or directory"
    assert refused(config=tmp_path) == f"cannot read {tmp_path}: Is a directory"


# ---------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("given", "secrets"),
    [
        ("", ()),
        (SECRET, (SECRET,)),
        (f"{SECRET},{OTHER}", (SECRET, OTHER)),
        (f"{SECRET},", (SECRET,)),
        ("x" * 128, ("x" * 128,)),
    ],
)
def test_one_secret_or_two_may_be_valid(given: str, secrets: tuple[str, ...]) -> None:
    assert loaded({"path_secret": given}).path_secrets() == tuple(secret.encode() for secret in secrets)


BAD_SECRETS = [
    "short-secret-15",
    "x" * 129,
    "secret/with-a-slash",
    "secret with spaces in it",
    "sécret-with-an-accent",
    "secret%2Fpercent-encoded",
    f"{SECRET}, {OTHER}",
    f"{SECRET},short",
    f"{SECRET}\n",
    SECRET.encode(),
    [SECRET],
    5,
]


@pytest.mark.parametrize("given", BAD_SECRETS, ids=range(len(BAD_SECRETS)))
def test_a_bad_secret_is_refused_and_not_quoted(given: Any) -> None:
    line = refused({"path_secret": given})
    assert line.startswith("--path-secret: ")
    assert str(given) not in line and SECRET not in line
    if isinstance(given, str):
        assert refused(environment={"RETELL_WS_PATH_SECRET": given}).startswith("RETELL_WS_PATH_SECRET: ")


def test_secrets_are_not_in_the_repr() -> None:
    settings = loaded({"path_secret": f"{SECRET},{OTHER}", "port": 9})
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert SECRET not in shown and OTHER not in shown
        assert "path_secret='***'" in shown
        assert "port=9" in shown
    assert "path_secret=''" in repr(Settings())


# ---------------------------------------------------------------------------- the struct itself


def test_settings_cannot_change_while_a_server_runs() -> None:
    with pytest.raises(AttributeError):
        setattr(Settings(), "port", 1)  # noqa: B010  # spelled so that mypy lets the attempt through


def test_every_setting_tells_what_it_is_and_times_carry_their_unit() -> None:
    properties = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    kinds = get_type_hints(Settings)
    for name in Settings.__struct_fields__:
        assert properties[name]["description"], name
        if kinds[name] is float:
            assert name.endswith("_s"), name


def test_a_secret_of_commas_alone_does_not_leave_the_door_open() -> None:
    with pytest.raises(SettingsError, match="--path-secret"):
        load({"path_secret": ","}, environment={})


def test_an_empty_variable_is_not_given() -> None:
    assert load(environment={"RETELL_WS_PORT": ""}).port == Settings().port


def test_no_time_is_endless() -> None:
    with pytest.raises(SettingsError, match="RETELL_WS_TURN_S"):
        load(environment={"RETELL_WS_TURN_S": "inf"})


def test_the_agents_that_may_call_are_a_list_with_commas() -> None:
    assert loaded({}).retell_agents() == frozenset()
    assert loaded({"retell_agent_ids": "agent_1, agent_2,"}).retell_agents() == {"agent_1", "agent_2"}


def test_an_admin_token_is_long_enough_and_a_distributed_server_has_a_store() -> None:
    assert "16 to 128" in refused({"admin_token": "short"})
    assert "--redis-url" in refused({"blueprint": "distributed"})
    found = loaded({"blueprint": "distributed", "redis_url": "redis://ana:hunter2@host/0", "admin_token": "a" * 16})
    assert found.budget_s() == 0.5 and found.speculates()
    assert "hunter2" not in repr(found) and "a" * 16 not in repr(found)


def test_workers_need_a_store_that_they_share() -> None:
    with pytest.raises(SettingsError, match="--workers.*--blueprint distributed"):
        load({"workers": 2}, environment={})
    shared = {"workers": 2, "blueprint": "distributed", "redis_url": "redis://x"}
    assert load(shared, environment={}).workers == 2
    with pytest.raises(SettingsError, match="--http-port: each of 2 workers"):
        load({**shared, "http_port": 65535}, environment={})
    assert load({**shared, "http_port": 65534}, environment={}).http_port == 65534


def test_balancers_are_waited_for_where_there_are_some() -> None:
    assert Settings().drain_delay() == 0
    shared = Settings(blueprint="distributed", redis_url="redis://x")
    assert shared.drain_delay() == 3
    assert msgspec.structs.replace(shared, drain_delay_s=0.0).drain_delay() == 0


@pytest.mark.parametrize(
    ("given", "folder", "place", "starts"),
    [
        ({}, "", "", False),
        ({"consume": True}, "", "", False),
        ({"data": "d"}, "d", "d", True),
        ({"data": "d", "consume": False}, "d", "d", False),
        ({"data": "d", "archive": "s3://bucket"}, "d", "s3://bucket", True),
        ({"blueprint": "events"}, "retell_ws-data", "retell_ws-data", True),
        ({"blueprint": "events", "kafka_bootstrap": "k:9092"}, "retell_ws-data", "retell_ws-data", False),
        (
            {"blueprint": "events", "kafka_bootstrap": "k:9092", "consume": True},
            "retell_ws-data",
            "retell_ws-data",
            True,
        ),
    ],
)
def test_where_facts_are_kept_and_who_reads_them(
    given: dict[str, Any], folder: str, place: str, *, starts: bool
) -> None:
    settings = loaded(given)
    assert (settings.data_folder(), settings.archive_place(), settings.starts_consumers()) == (folder, place, starts)


def test_events_have_a_second_port_for_webhooks_unless_another_is_named() -> None:
    assert loaded({"blueprint": "events"}).http_port == 8081
    assert loaded({"blueprint": "events", "http_port": 0}).http_port == 0
    assert loaded({}).http_port is None


def test_another_process_comes_to_the_same_settings_by_the_environment(toml: Path) -> None:
    toml.write_text("max_calls = 7")
    given = {
        "blueprint": "events",
        "speculate": True,
        "hedge": False,
        "drain_delay_s": 1.5,
        "data": "d",
        "keep_days": 3,
    }
    settings = loaded(given)
    assert loaded({}, environment_of(settings)) == settings
    assert loaded({}, {"RETELL_WS_CONFIG": str(toml), **environment_of(settings)}) == settings


def values(name: str) -> list[Any]:
    """What a setting may be: its default, something else, and whatever a variable of its own could not say."""
    found = [getattr(Settings(), name), sample(name)]
    kind = get_type_hints(Settings)[name]
    if kind is str:
        found.append("")
        if name not in ("path_secret", "admin_token"):  # which are refused
            found += ["tcp://10.0.0.11:8080", " \t\n", "null", "True", "é\x00\"'$(x)"]
    for choice in get_args(kind):
        if choice is type(None):
            found.append(None)
        elif choice is bool:
            found.append(False)
        elif isinstance(choice, str):
            found.append(choice)
    if kind is float:
        found += [1 / 3, 1e-7]
    return found


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_another_process_has_exactly_our_settings_whatever_they_are(name: str, toml: Path) -> None:
    toml.write_text("max_calls = 7")
    around = {f"RETELL_WS_{each.upper()}": str(sample(each)) for each in Settings.__struct_fields__}
    for value in values(name):
        shared = {"redis_url": "redis://x"} if value == "distributed" else {}
        settings = msgspec.structs.replace(Settings(), **{**shared, name: value})
        variables = environment_of(settings)
        assert loaded({}, variables) == settings
        assert loaded({}, {"RETELL_WS_CONFIG": str(toml), **around, **variables}) == settings
        assert not any("\0" in each for each in variables.values())  # no process can be started with that


def test_another_process_has_our_paths_also_where_they_are_no_utf_8() -> None:
    settings = loaded({}, {"RETELL_WS_DATA": os.fsdecode(b"/srv/d\xfcrr")})
    variables = environment_of(settings)
    assert loaded({}, {name: os.fsdecode(os.fsencode(value)) for name, value in variables.items()}) == settings


def test_a_flag_of_another_process_beats_the_settings_it_was_started_with() -> None:
    assert loaded({"port": 3}, environment_of(Settings(port=2, max_calls=2))) == Settings(port=3, max_calls=2)


@pytest.mark.parametrize(
    "given",
    [
        *("prod", "[1]", "{}", '{"port": 1}', '{"port": ', '{"path_secret": "' + SECRET + '"'),
        pytest.param("[" * 100_000, id="nested too deep"),
    ],
)
def test_what_no_server_gives_to_its_own_processes_is_refused_and_not_quoted(given: str) -> None:
    assert refused(environment={WHOLE: given}) == f"{WHOLE} is only for processes that a server starts itself"


def test_a_process_that_is_given_no_settings_looks_for_its_own() -> None:
    assert loaded(environment={WHOLE: "", "RETELL_WS_PORT": "2"}).port == 2


def test_a_wrong_value_in_the_settings_of_another_process_is_named() -> None:
    given = '{"blueprint": "single", "port": "x"}'
    assert refused(environment={WHOLE: given}) == f"{WHOLE}: port: expected `int`, got `str`"
