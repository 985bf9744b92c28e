"""Canaries: planted wherever speech or a secret comes in, and looked for wherever something comes out.

A server of the blueprint `events` with its consumers, as a user starts them, on a genuine Redis and a genuine Kafka. Of
what they keep, the values may hold speech, masked; everything around them may not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp
import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import KafkaException

from retell_ws.testing import FakeAnthropicProcess, FakeRetell
from retell_ws.testing.fake_anthropic_process import FakeAnthropic
from retell_ws.webhooks import HEADER, signature
from tests.buses.topic_reader import headers_in, whole
from tests.http_client import http
from tests.kafka_servers import KafkaServer, genuine
from tests.machine import free_port
from tests.processes import served
from tests.redis_servers import RedisServer, valkey
from tests.test_consume import ended
from tests.waiting import until

from .canaries import AGENT, NUMBERS, RULES, SECRETS, SPEECH, found

pytestmark = pytest.mark.timeout(180)

ALL = {**SPEECH, **SECRETS}

Level = Literal["info", "debug"]


class Places(NamedTuple):
    """What stands beside the server."""

    redis: RedisServer
    kafka: KafkaServer


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    genuine()
    password = SECRETS["redis_password"]
    redis = RedisServer(
        valkey(),
        tmp_path_factory.mktemp("redis"),
        port=free_port(),
        options=("--requirepass", password),
        admin={"password": password},
    )
    with redis, KafkaServer(tmp_path_factory.mktemp("kafka")) as kafka:
        yield Places(redis, kafka)


def environment(places: Places, folder: Path, model_url: str, level: Level) -> dict[str, str]:
    """Give all settings by the environment: an argument list can be read by everybody on the machine."""
    return {
        "ANTHROPIC_API_KEY": SECRETS["anthropic_key"],
        "RETELL_API_KEY": SECRETS["retell_key"],
        "RETELL_WEBHOOK_KEY": SECRETS["second_retell_key"],
        "RETELL_WS_WEBHOOK_SECRET": SECRETS["webhook_secret"],
        "RETELL_WS_BLUEPRINT": "events",
        "RETELL_WS_HTTP_PORT": "0",
        "RETELL_WS_PATH_SECRET": f"{SECRETS['path_secret']},{SECRETS['old_path_secret']}",
        "RETELL_WS_ADMIN_TOKEN": SECRETS["admin_token"],
        "RETELL_WS_REDIS_URL": f"redis://:{SECRETS['redis_password']}@127.0.0.1:{places.redis.port}/0",
        "RETELL_WS_REDIS_PREFIX": f"{level}:",
        "RETELL_WS_KAFKA_BOOTSTRAP": places.kafka.bootstrap,
        "RETELL_WS_KAFKA_PREFIX": f"{level}.",
        "RETELL_WS_KAFKA_PARTITIONS": "1",
        "RETELL_WS_CONSUME": "true",
        "RETELL_WS_RULES": str(folder / "rules.toml"),
        "RETELL_WS_DATA": str(folder / "data"),
        "RETELL_WS_MODEL_URL": model_url,
        "RETELL_WS_SPECULATE": "false",  # it would take the answers that are meant for the questions
        "RETELL_WS_HEDGE": "false",
        "RETELL_WS_GRACE_S": "0.2",
        "RETELL_WS_LOG_LEVEL": level,
    }


DETAILS = {
    "from_number": f"+1{SPEECH['from_number']}",
    "to_number": f"+1{SPEECH['to_number']}",
    "direction": "inbound",
    "retell_llm_dynamic_variables": {"name": SPEECH["name"], "more": SPEECH["variable"]},
    "metadata": {"note": SPEECH["metadata"], SPEECH["metadata"]: 1},
    "custom_sip_headers": {"x-note": SPEECH["header"]},
}

WEBHOOK = {
    "event": "call_analyzed",
    "call": {
        "call_id": "call_1",
        "from_number": DETAILS["from_number"],
        "transcript": f"User: {SPEECH['webhook']} {SPEECH['said_number']}",
        "transcript_object": [{"role": "user", "content": SPEECH["webhook"], "words": []}],
        "metadata": DETAILS["metadata"],
        "retell_llm_dynamic_variables": DETAILS["retell_llm_dynamic_variables"],
        "call_analysis": {"call_summary": SPEECH["analysis"], "custom_analysis_data": {"mail": SPEECH["mail"]}},
        "access_token": SPEECH["webhook"],
    },
}


def uses(name: str) -> list[list[dict[str, Any]]]:
    """Give what a model does that looks somebody up, and then speaks."""
    return [
        [{"text": "One moment."}, {"tool": "look_up", "input": {"name": name}}],
        [{"text": f"Here it is: {SPEECH['agent']}, {SPEECH['said_number']}."}],
    ]


async def talks(url: str, fake: FakeAnthropic) -> None:
    """Make the call with everything in it."""
    async with FakeRetell(url, call_id="call_1", details=DETAILS) as retell:
        await retell.greeting()
        for name in (SPEECH["argument"], "broken", "refused"):
            await fake.control(answers=uses(name))
            said = f"{SPEECH['caller']} here, {SPEECH['said_number']}, {SPEECH['mail']}. {name}"
            assert SPEECH["agent"] in (await retell.ask(said)).text
        await retell.press(f"{SPEECH['digits']}#")
        first = await retell.request(SPEECH["interruption"])
        assert (await retell.ask(f"No. {SPEECH['interruption']}")).response_id > first
        for rubbish in (
            SPEECH["rubbish"],
            f'{{"interaction_type":"{SPEECH["rubbish"]}"}}',
            f'{{"interaction_type":"response_required","response_id":"{SPEECH["rubbish"]}"}}',
            f'{{"interaction_type":"ping_pong","timestamp":"{SPEECH["rubbish"]}"}}',
        ):
            await retell.send_raw(rubbish)
        await retell.ask("Goodbye.")


async def asks(ws: str, http_url: str) -> list[str]:
    """Ask both ports for everything, rightly and wrongly; give all that they answer."""
    right, wrong = SECRETS["path_secret"], SECRETS["wrong_path_secret"]
    answers = [
        await http(ws.replace("/llm-websocket", ""), path)
        for path in (
            f"/llm-websocket/{wrong}/call_1",
            f"/llm-websocket/{right}/call_1",
            f"/{wrong}",
            "/metrics",
            "/livez",
        )
    ]
    body = msgspec.json.encode(WEBHOOK)
    at = int(time.time() * 1000)
    forged = msgspec.json.encode({"event": "call_ended", "call": {"call_id": f"no id: {SPEECH['forged']}"}})
    token, bad = ({"Authorization": f"Bearer {SECRETS[name]}"} for name in ("admin_token", "wrong_admin_token"))
    signed = [signature(body, SECRETS[name].encode(), at) for name in ("retell_key", "second_retell_key")]
    requests: list[tuple[str, str, Mapping[str, str], bytes]] = [
        ("POST", "/webhook", {HEADER: signed[0]}, body),
        ("POST", "/webhook", {HEADER: signed[1]}, body),
        ("POST", "/webhook", {HEADER: signed[0]}, forged),
        ("POST", "/webhook", {HEADER: signature(forged, SECRETS["retell_key"].encode(), at)}, forged),
        ("POST", "/webhook", {HEADER: SPEECH["forged"]}, forged),
        ("GET", f"/{SPEECH['forged']}", {}, b""),
        ("GET", "/calls", bad, b""),
        ("GET", "/calls", token, b""),
        ("GET", f"/calls/{SPEECH['forged']}", token, b""),
        ("POST", "/calls/call_2/say", token, msgspec.json.encode({"text": SPEECH["control"], "more": 1})),
        ("POST", "/calls/call_2/say", token, msgspec.json.encode({"text": SPEECH["control"]})),
        ("POST", "/calls/call_2/transfer", token, msgspec.json.encode({"to": "billing", "say": [SPEECH["control"]]})),
        ("POST", f"/calls/call_2/{SPEECH['control']}", token, b"{}"),
        ("GET", "/metrics", {}, b""),
    ]
    async with aiohttp.ClientSession() as session:
        for method, path, headers, given in requests:
            async with session.request(method, f"{http_url}{path}", headers=headers, data=given) as answer:
                answers.append(f"{answer.status} {answer.headers} {await answer.text()}")
    return answers


def titles(pid: int) -> list[str]:
    """Give what anybody on the machine can read of a process and those it started."""
    root = psutil.Process(pid)
    family = [root, *root.children(recursive=True)]
    assert len(family) > 1, "the consumers are processes of their own"
    return [f"{one.name()} {' '.join(one.cmdline())}" for one in family]


def in_redis(redis: RedisServer) -> list[bytes]:
    """Give every key and every channel."""
    names: list[bytes] = [*redis.told("KEYS", "*"), *redis.told("PUBSUB", "CHANNELS")]
    hashes = [key for key in redis.told("KEYS", "*") if redis.told("TYPE", key) == b"hash"]
    return names + [field for key in hashes for field in redis.told("HKEYS", key)]


class Kept(NamedTuple):
    """What is on Kafka: around the values, and they."""

    around: list[bytes]
    values: list[bytes]


def on_kafka(kafka: KafkaServer, prefix: str) -> Kept:
    around: list[bytes] = []
    values: list[bytes] = []
    for topic in kafka.admin.list_topics(timeout=10).topics:
        if not topic.startswith(prefix):
            continue
        around.append(topic.encode())
        for message in whole(kafka.bootstrap, topic):
            headers = headers_in(message).items()
            around += [message.key() or b"", *(name.encode() + b"=" + value for name, value in headers)]
            values.append(message.value() or b"")
    return Kept(around, values)


def has_come(kafka: KafkaServer, topic: str, call_id: bytes) -> bool:
    """Tell whether something of a call is there; a topic that was just made may have no leader yet."""
    with suppress(KafkaException):
        return any(call_id in one for one in on_kafka(kafka, topic).around)
    return False


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_what_is_said_and_what_is_secret_is_in_nothing_around_it(
    places: Places, tmp_path: Path, level: Level
) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "rules.toml").write_text(RULES)
    async with FakeAnthropicProcess(ttft_ms=5, spacing_ms=1, text=f"Yes. {SPEECH['agent']}") as fake:
        env = environment(places, tmp_path, fake.url, level)
        async with served(str(tmp_path / "agent.py"), **env) as (server, line):
            url = f"{line['ws']}/{SECRETS['path_secret']}"
            async with FakeRetell(url, call_id="call_2", details=DETAILS) as live:
                await live.greeting()
                await talks(url, fake)
                pages = await asks(line["ws"], line["http"])
                seen_titles = titles(server.pid)
                names = in_redis(places.redis)
            await until(lambda: has_come(places.kafka, f"{level}.transcripts", b"call_1"), limit_s=60.0)
            log = await ended(server)
        kept = await asyncio.to_thread(on_kafka, places.kafka, f"{level}.")

    # What would make the rest of this test look at nothing.
    assert "call_started" in log and (level == "info" or "turn_measured" in log)
    assert any("retell_ws_first_sentence_seconds" in page for page in pages)
    assert any(b"call_2" in name for name in names) and any(name.startswith(f"{level}:".encode()) for name in names)
    assert any(b"ce_type" in one for one in kept.around)
    assert found("the values on Kafka", kept.values, {"caller": SPEECH["caller"]}), "it was really said"

    assert found("the log", [log], ALL) == []
    assert found("an answer over HTTP", pages, ALL) == []
    assert found("the title of a process", seen_titles, ALL) == []
    assert found("names in Redis", names, ALL) == []
    assert found("names, keys and headers on Kafka", kept.around, ALL) == []

    assert found("the values on Kafka", kept.values, {name: SPEECH[name] for name in NUMBERS} | SECRETS) == []
    files = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert files
    assert found("the data folder", files.values(), {name: SPEECH[name] for name in NUMBERS} | SECRETS) == []


@pytest.mark.parametrize(("name", "word"), ALL.items())
def test_what_looks_for_canaries_finds_each(name: str, word: str) -> None:
    assert found("here", [f"2026-11-28 WARNING {word.upper()} call=x", b"other"], ALL) == [f"{name} in here"]


def test_no_canary_is_in_another() -> None:
    assert [one for one in ALL.values() for other in ALL.values() if one is not other and one in other] == []
