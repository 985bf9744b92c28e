"""Every setting of a server, in one place: its type, its range, its default and the reason for it.

A setting comes from, each overriding the one before: the default here, a TOML file, the environment
(`RETELL_WS_<NAME>`), a flag. Nothing here reads them while a call runs. A process that we start ourselves gets ours as
they are, in one variable in place of file and environment.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from .errors import SettingsError

__all__ = ["BUDGETS_MS", "WHOLE", "Settings", "environment_of", "load", "usual"]

PREFIX = "RETELL_WS_"

WHOLE = f"{PREFIX}SETTINGS"
"""The variable by which a process that we start gets our settings, as JSON: as variables of their own, those that are
empty on purpose would count as left out. No setting's name, nor nearly one."""

DAY_S = 86_400.0

BUDGETS_MS = {"single": 800, "distributed": 500, "events": 300}
"""Request → first complete sentence, in milliseconds, by blueprint."""

DATA = "retell_ws-data"

HTTP_PORT = 8081
"""Where webhooks come in `events`, unless another port is named."""

DRAIN_DELAY_S = 3.0
"""Two failed health checks a second apart, and a bit."""

Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=DAY_S)]


def _about(text: str, **limits: Any) -> Meta:
    return Meta(description=text, **limits)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one server. Times end in `_s` (seconds) or `_ms` (milliseconds)."""

    blueprint: Annotated[
        Literal["single", "distributed", "events"],
        _about(
            "`single`: state in memory, one server; `distributed`: state in Redis, any server can take any call; "
            "`events`: the same, and all that happens is told to consumers"
        ),
    ] = "single"
    host: Annotated[str, _about("address to listen on")] = "127.0.0.1"
    port: Annotated[Port, _about("port of Retell's socket; 0 picks a free one")] = 8080
    http_host: Annotated[str, _about("address of the second port")] = "127.0.0.1"
    http_port: Annotated[
        Port | None,
        _about(
            "second port: `/metrics`, `/livez`, `/readyz`, `/calls`, `/drain`, `/webhook`, `/console`; 0 picks a free "
            "one; by default 8081 in `events`, otherwise none. With `workers` the first of as many"
        ),
    ] = None
    admin_token: Annotated[
        str, _about("who may see and move calls over the second port: at least 16 of A-Za-z0-9_-; empty: nobody")
    ] = ""
    workers: Annotated[int, _about("processes that share the port: one a core", ge=1, le=64)] = 1

    redis_url: Annotated[
        str,
        _about(
            "not in `single`: `redis://user:password@host:6379/0`, `rediss://` for TLS (`?ssl_ca_certs=FILE`), "
            "or `unix://`; of a cluster any node"
        ),
    ] = ""
    redis_prefix: Annotated[str, _about("what every key and channel begins with")] = "retell_ws:"

    data: Annotated[
        str,
        _about(
            "folder of the journal of facts, the archive and the figures; by default `retell_ws-data` in `events`; "
            "otherwise no facts are kept"
        ),
    ] = ""
    journal_mb: Annotated[int, _about("megabytes the journal may take; then facts of figures go first", ge=8)] = 1024
    journal_sync: Annotated[
        bool, _about("wait for the disk at each write of the journal: a power cut, too, loses nothing")
    ] = False
    kafka_bootstrap: Annotated[
        str, _about("`events`: HOST:PORT of Kafka's brokers, with commas; empty: consumers read the journal itself")
    ] = ""
    kafka_config: Annotated[
        str, _about("file of `name=value` lines for Kafka's client, in librdkafka's names: TLS and SASL")
    ] = ""
    kafka_prefix: Annotated[str, _about("what the names of topics and consumer groups begin with")] = "retell_ws."
    kafka_partitions: Annotated[int, _about("partitions of a topic that we create", ge=1, le=10_000)] = 12
    kafka_replicas: Annotated[int, _about("copies of a partition; 0: as the brokers have it", ge=0, le=9)] = 0
    kafka_days: Annotated[int, _about("days that Kafka keeps facts", ge=1)] = 7
    consume: Annotated[
        bool | None, _about("start the consumers with the server; by default when there is a journal and no Kafka")
    ] = None
    archive: Annotated[
        str, _about("where transcripts and figures go: a folder, or `s3://BUCKET/PREFIX`; by default the data folder")
    ] = ""
    keep_days: Annotated[int, _about("days that transcripts and figures are kept; 0: for ever", ge=0)] = 90
    rules: Annotated[str, _about("TOML file of escalation rules; empty: none")] = ""
    control_url: Annotated[
        str, _about("without Redis: the second port of the server, by which escalation moves its calls")
    ] = "http://127.0.0.1:8081"

    model: Annotated[
        Literal["", "anthropic", "anthropic-sdk", "scripted"],
        _about("model client; empty: `anthropic` when ANTHROPIC_API_KEY is set, otherwise `scripted`"),
    ] = ""
    model_name: Annotated[str, _about("the model asked, where the agent names none")] = "claude-haiku-5-5"
    model_url: Annotated[str, _about("base URL of the Anthropic API, a gateway or a fake")] = (
        "https://api.anthropic.com"
    )
    model_connect_ms: Annotated[int, _about("longest wait for a connection to the model", ge=1)] = 1000
    fallback_model: Annotated[str, _about("the model asked when the first one fails; empty: none")] = (
        "claude-sonnet-5-5"
    )
    scripted_ttft_ms: Annotated[int, _about("`scripted`: time to the first token", ge=0)] = 200
    scripted_spacing_ms: Annotated[int, _about("`scripted`: time between tokens", ge=0)] = 15

    path_secret: Annotated[
        str,
        _about("secret path segment before the call id, at least 16 of A-Za-z0-9_-; two, with a comma, while rotating"),
    ] = ""
    verify_calls: Annotated[
        bool, _about("ask Retell's API about each call with RETELL_API_KEY; side effects wait for it")
    ] = False
    retell_url: Annotated[str, _about("base URL of Retell's REST API")] = "https://api.retellai.com"
    retell_agent_ids: Annotated[
        str, _about("`verify_calls`: Retell's ids of the agents whose calls these may be, with commas; empty: any")
    ] = ""
    max_calls: Annotated[int, _about("calls at once; more are refused with 503 before the handshake", ge=1)] = 1000

    budget_ms: Annotated[
        int, _about("from the request to the first sentence, what is measured against; 0: by blueprint", ge=0)
    ] = 0
    speculate: Annotated[
        bool | None, _about("ask the model before Retell does; by default in all blueprints but `single`")
    ] = None
    speculation_tokens: Annotated[int, _about("`speculate`: tokens of one call that may be spent in vain", ge=0)] = (
        20_000
    )
    speculation_percent: Annotated[
        int, _about("`speculate`: the same over all calls, in percent of the tokens of answers", ge=0, le=1000)
    ] = 35
    hedge: Annotated[bool, _about("ask a slow model once more, at most for one request in twenty")] = True
    warm_cache: Annotated[bool, _about("fill the provider's prompt cache while the greeting plays")] = True
    answer_cache: Annotated[bool, _about("answer from the cache, for agents that allow it")] = True
    answers_file: Annotated[
        str, _about("openings to ask the model ahead, or the answers `answers warm` wrote; empty: none")
    ] = ""

    details_wait_ms: Annotated[
        int, _about("longest wait for `call_details` before a greeting that is a function", ge=0, le=1000)
    ] = 1000
    greeting_ms: Annotated[int, _about("longest wait for the first word of a greeting that is a function", ge=100)] = (
        2500
    )
    holding_ms: Annotated[
        int,
        # Not the budget: a model misses that now and then, and a phrase on every second turn is worse than waiting.
        _about("silence that gets awkward: then a holding phrase is said, unless the answer has come", ge=100),
    ] = 1200
    first_text_ms: Annotated[int, _about("silence after which a turn fails with an apology", ge=100)] = 8000
    stall_ms: Annotated[int, _about("longest gap inside an answer before it is closed with a phrase", ge=100)] = 4000
    turn_s: Annotated[float, _about("longest turn", gt=0, le=DAY_S)] = 60.0

    send_ms: Annotated[int, _about("longest time a peer may not read before it is dropped", ge=100)] = 2000
    silence_s: Annotated[float, _about("longest silence of a socket whose keepalive runs", gt=0, le=DAY_S)] = 10.0
    grace_s: Annotated[float, _about("how long a call is kept for Retell's redial", gt=0, le=DAY_S)] = 30.0
    drain_s: Annotated[float, _about("how long live calls may go on after SIGTERM", ge=0, le=DAY_S)] = 60.0
    drain_delay_s: Annotated[
        Seconds | None,
        _about(
            "how long balancers have to see `/readyz` fail before a call is dropped; by default 3, and 0 in `single`"
        ),
    ] = None

    log_level: Annotated[Literal["debug", "info", "warning", "error"], _about("what goes to stderr")] = "info"
    log_format: Annotated[Literal["text", "json"], _about("lines for people, or a JSON object a line")] = "text"
    traces: Annotated[
        bool, _about("send a span of each turn, its stages and tools by OTLP, as the `OTEL_*` variables say")
    ] = False

    def budget_s(self) -> float:
        """Give the budget of the first sentence, in seconds."""
        return (self.budget_ms or BUDGETS_MS[self.blueprint]) / 1000

    def is_shared(self) -> bool:
        """Tell whether calls are kept in Redis, where other servers see them."""
        return self.blueprint != "single" and bool(self.redis_url)

    def data_folder(self) -> str:
        """Give the folder of journal, archive and figures; empty when no facts are kept."""
        return self.data or (DATA if self.blueprint == "events" else "")

    def archive_place(self) -> str:
        """Give where transcripts and figures are kept; empty when they are not."""
        return self.archive or self.data_folder()

    def starts_consumers(self) -> bool:
        """Tell whether the server starts the consumers of its facts."""
        if self.consume is not None:
            return self.consume and bool(self.data_folder())
        return bool(self.data_folder()) and not self.kafka_bootstrap

    def speculates(self) -> bool:
        """Tell whether agents that leave it to the server ask the model before Retell does."""
        return self.blueprint != "single" if self.speculate is None else self.speculate

    def drain_delay(self) -> float:
        """Give the time balancers have to see that this server drains, in seconds."""
        if self.drain_delay_s is not None:
            return self.drain_delay_s
        return DRAIN_DELAY_S if self.is_shared() else 0.0

    def path_secrets(self) -> tuple[bytes, ...]:
        """Give the secrets that are valid now; none means that no secret is asked for."""
        return tuple(secret.encode() for secret in self.path_secret.split(",") if secret)

    def retell_agents(self) -> frozenset[str]:
        """Give the agents whose calls may come; none means any."""
        return frozenset(name.strip() for name in self.retell_agent_ids.split(",") if name.strip())

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in ("path_secret", "admin_token", "redis_url"):  # the URL may hold a password
            shown[name] = "***" if shown[name] else ""
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    config: str | Path | None = None,
) -> Settings:
    """Gather the settings.

    Args:
        flags: What was given on the command line or in code; None values count as not given.
        environment: Where `RETELL_WS_<NAME>` is looked up, unless it holds all the settings of whoever started us.
        config: A TOML file with the names as keys. Without it `RETELL_WS_CONFIG` may name one.

    Raises:
        SettingsError: A name is unknown (in the environment: nearly that of a setting, since others may use the
            prefix), a value is of the wrong type or out of range, the file cannot be read.
            The text names the setting and where it came from, and quotes no secret.
    """
    given: dict[str, Any] = {}
    origin: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if whole := environment.get(WHOLE):
        layers.append((f"{WHOLE}: ", _decoded(whole)))
    else:
        if path := config or environment.get(f"{PREFIX}CONFIG"):
            layers.append((f"{path}: ", _read(Path(path))))
        layers.append((PREFIX, _from_environment(environment)))
    names = Settings.__struct_fields__
    layers.append(("--", {name: value for name, value in (flags or {}).items() if value is not None}))
    for mark, layer in layers:
        for name, value in layer.items():
            if name not in names:
                raise SettingsError(f"{_called(mark, name)} is no setting{_nearest(name, names)}")
            given[name] = value
            origin[name] = _called(mark, name)
    for name, value in given.items():
        try:
            msgspec.convert({name: value}, Settings, strict=False)
        except msgspec.ValidationError as exc:
            reason = str(exc).partition(" - at ")[0]
            if choices := _choices(name):
                reason += f"; it may be {', '.join(choices)}"
            raise SettingsError(f"{origin[name]}: {reason[0].lower()}{reason[1:]}") from None
    settings = msgspec.convert(given, Settings, strict=False)
    if "http_port" not in given:
        settings = msgspec.structs.replace(settings, http_port=usual(settings.blueprint).http_port)
    if settings.path_secret:
        secrets = [secret for secret in settings.path_secret.split(",") if secret]
        if len(secrets) > 2:
            raise SettingsError(f"{origin['path_secret']}: two secrets are enough, the new one and the old one")
        if not secrets or not all(re.fullmatch(r"[A-Za-z0-9_-]{16,128}", secret) for secret in secrets):
            raise SettingsError(f"{origin['path_secret']}: a secret needs 16 to 128 characters of A-Za-z0-9_-")
    if settings.admin_token and not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", settings.admin_token):
        raise SettingsError(f"{origin['admin_token']}: a token needs 16 to 128 characters of A-Za-z0-9_-")
    if settings.blueprint == "distributed" and not settings.redis_url:
        raise SettingsError("the blueprint `distributed` keeps its calls in Redis: --redis-url redis://host:6379")
    if settings.workers > 1 and not settings.is_shared():
        raise SettingsError(
            f"{origin['workers']}: without Redis each process has its own memory, and a redial may reach another one: "
            "--blueprint distributed --redis-url redis://host:6379"
        )
    if settings.http_port and settings.http_port + settings.workers > 65536:
        raise SettingsError(f"{origin['http_port']}: each of {settings.workers} workers takes a port of its own")
    return settings


def usual(blueprint: Literal["single", "distributed", "events"]) -> Settings:
    """Give the settings that a blueprint has by itself."""
    return Settings(blueprint=blueprint, http_port=HTTP_PORT if blueprint == "events" else None)


def environment_of(settings: Settings) -> dict[str, str]:
    """Give the variables by which another process comes to these settings, whatever file, flags and variables we had.

    They hold our secrets: they are for the environment of that process, which other users cannot read.
    """
    # In ASCII: a path may hold bytes that are no UTF-8, which Python has as halves of a character.
    return {WHOLE: json.dumps(msgspec.to_builtins(settings))}


def _decoded(whole: str) -> dict[str, Any]:
    try:
        found = json.loads(whole)
    except (ValueError, RecursionError):  # whose text may quote a secret
        found = None
    if not isinstance(found, dict) or "blueprint" not in found:  # what a server gives has all of its settings
        raise SettingsError(f"{WHOLE} is only for processes that a server starts itself")
    return found


def _choices(name: str) -> list[str]:
    kind, *_ = get_args(get_type_hints(Settings, include_extras=True)[name])
    return [choice for choice in get_args(kind) if choice] if get_origin(kind) is Literal else []


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.__struct_fields__}
    found = {}
    for variable, value in environment.items():
        if variable in known:
            # An empty variable is how Compose files leave one out. Kubernetes sets `<SERVICE>_PORT=tcp://…` in every
            # pod, and the service may be called retell-ws.
            if value and not value.startswith("tcp://"):
                found[known[variable]] = value
        elif variable.startswith(PREFIX) and (hint := _nearest(variable, known, cutoff=0.9)):
            raise SettingsError(f"{variable} is no setting{hint}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise SettingsError(f"cannot read {path}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path} is no TOML: {exc}") from None
    except RecursionError:
        raise SettingsError(f"{path} is no TOML: it is nested too deep") from None


def _called(mark: str, name: str) -> str:
    match mark:
        case "--":
            return f"--{name.replace('_', '-')}"
        case _ if mark == PREFIX:
            return f"{PREFIX}{name.upper()}"
    return f"{mark}{name}"


def _nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
