"""What a set-up becomes: what is not said again stays, and a server that has calls in its memory is never forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from retell_ws.deploy.files import Wanted, settings
from retell_ws.deploy.next_setup import Options, next_setup
from retell_ws.deploy.redis_url import may_hold_password
from retell_ws.errors import UsageError

OURS = "/opt/agent/.venv/bin/retell_ws"


def setup(blueprint: Any, before: Wanted | None = None, own: dict[str, Any] | None = None, **options: Any) -> Wanted:
    return next_setup(blueprint, "/opt/agent", OURS, Options(**options), before=before, own=own or {})


def test_the_first_set_ups() -> None:
    single = setup("single")
    assert single.addresses() == ("127.0.0.1:8081",) and single.second_addresses() == ("127.0.0.1:18081",)
    assert (single.redis_url, single.leaving, single.listen, single.proxy) == ("", "", ":8080", "haproxy")
    assert setup("distributed").ports() == (8081, 8082, 8083)
    assert setup("distributed").redis_url == "redis://127.0.0.1:6379/0"
    events = setup("events")
    assert (events.servers, events.redis_url, events.kafka) == (1, "", ""), "nothing has to run beside it"
    assert setup("events", kafka="k:9092").servers == 3 and setup("events", kafka="k:9092").redis_url


@pytest.mark.parametrize("blueprint", ["distributed", "events"])
def test_a_server_with_calls_in_its_memory_is_joined_by_others(blueprint: str) -> None:
    moved = setup(blueprint, setup("single"))
    assert moved.leaving == "127.0.0.1:8081" and moved.port == 8082
    again = setup(blueprint, moved)
    assert again == moved, "as long as nobody says that it has gone"
    assert setup(blueprint, moved, leaving="none") == setup(blueprint, setup(blueprint, moved, leaving="none"))
    assert setup(blueprint, moved, leaving="none").leaving == ""
    assert setup(blueprint, moved, leaving="none").port == 8082


def test_events_without_redis_is_such_a_server_too() -> None:
    alone = setup("events")
    joined = setup("events", alone, kafka="k:9092")
    assert (joined.servers, joined.port, joined.leaving) == (1, 8081, ""), "it is started anew; nobody joins it"
    shared = setup("events", alone, kafka="k:9092", servers=3)
    assert (shared.leaving, shared.port) == ("127.0.0.1:8081", 8082)


def test_servers_that_share_their_calls_stay_where_they_are() -> None:
    before = setup("distributed", port=8090, servers=4, domain="voice.example.com")
    moved = setup("events", before, kafka="k:9092")
    assert (moved.ports(), moved.redis_url, moved.leaving) == (before.ports(), before.redis_url, "")
    assert moved.domain == "voice.example.com"
    assert setup("events", moved) == moved
    with pytest.raises(UsageError, match="--servers"):
        setup("events", before)  # their facts would be on one disk each


def test_back_to_single_has_other_ports() -> None:
    back = setup("single", setup("distributed"))
    assert (back.servers, back.port, back.redis_url, back.leaving) == (1, 8084, "", "")


def test_what_was_asked_for_the_last_time_counts_when_a_blueprint_comes_back() -> None:
    kafka = setup("events", kafka="k:1", servers=5, redis_url="redis://store")
    earlier = {"events": kafka}

    def back(before: Wanted | None, own: dict[str, Any] | None = None, **options: Any) -> tuple[int, str, str]:
        found = next_setup(
            "events", "/opt/agent", OURS, Options(**options), before=before, own=own or {}, earlier=earlier
        )
        return found.servers, found.redis_url, found.kafka

    assert back(setup("single")) == (5, "redis://store", "k:1")
    assert back(setup("distributed", kafka)) == (5, "redis://store", "k:1")
    assert back(setup("distributed", redis_url="redis://new", servers=2)) == (2, "redis://new", "k:1")
    assert back(setup("single"), {"redis_url": "redis://own", "kafka_bootstrap": "k:2"}) == (5, "redis://own", "k:2")
    assert back(setup("single"), kafka="none") == (1, "redis://store", "")
    assert back(setup("events")) == (1, "", ""), "it has not been away"


def test_what_stands_in_the_settings_counts() -> None:
    found = setup("single", own={"port": 9000, "http_port": 9001, "drain_s": 600})
    assert (found.addresses(), found.second_addresses()) == (("127.0.0.1:9000",), ("127.0.0.1:9001",))
    assert found.drain_s == 600 and settings(found) == {"blueprint": "single", "port": 9000, "http_port": 9001}
    assert setup("events", own={"blueprint": "events", "kafka_bootstrap": "k:1"}).kafka == "k:1"
    again = setup("single", setup("single"), own=settings(setup("single")))
    assert again == setup("single"), "what we wrote there is no choice of anybody's"


def test_a_single_server_that_we_did_not_set_up_is_joined_as_well() -> None:
    found = setup("distributed", own={"max_calls": 5})
    assert (found.leaving, found.listen, found.port) == ("127.0.0.1:8080", ":8090", 8081)
    assert setup("distributed", own={"port": 8081}).ports()[0] == 8082
    assert setup("distributed", own={"blueprint": "distributed"}).leaving == ""
    assert setup("distributed", own={"port": 443}, tls="/c.pem").listen == ":8090"


def test_a_password_stays_where_it_is() -> None:
    for url, shown in (
        ("redis://:secret@store:6379/1", "redis://store:6379/1"),
        ("rediss://ana:se@secret@store", "rediss://ana@store"),
        ("redis://ana@store", "redis://ana@store"),
        ("redis://ana:secret@store:6379/1", "redis://ana@store:6379/1"),
        ("redis://store?password=secret", "redis://store"),
        ("redis://store?db=1&p%61ssword=se%63ret&password=&username=ana", "redis://store?db=1&username=ana"),
        ("redis://:secret@store/1?password=secret&db=2", "redis://store/1?db=2"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix:///run/redis.sock?password=secret&db=1", "unix:///run/redis.sock?db=1"),
        ("unix://ana:secret@/run/redis.sock", "unix://ana@/run/redis.sock"),
    ):
        assert setup("distributed", own={"redis_url": url, "blueprint": "distributed"}).redis_url == shown
        assert may_hold_password(url) or shown == url
        if shown != url:
            with pytest.raises(UsageError, match=r"retell_ws\.env") as caught:
                setup("distributed", redis_url=url)
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("blueprint", "options", "words"),
    [
        ("single", {"servers": 2}, "--servers"),
        ("distributed", {"servers": 0}, "--servers"),
        ("distributed", {"servers": 101}, "--servers"),
        ("events", {"servers": 2}, "--servers 1"),
        ("distributed", {"kafka": "k:1"}, "--kafka"),
        ("events", {"kafka": "k"}, "--kafka"),
        ("distributed", {"redis_url": "http://x"}, "--redis-url"),
        ("single", {"port": 80}, "--port: 80 is not within 1024 and 9999: "),
        ("single", {"port": 21181}, "--port: 21181 .*: a second port has the same number with a 1 before it"),
        ("distributed", {"port": 9998}, "--port: 9998 is not within 1024 and 9997, the most for 3 servers: "),
        ("distributed", {"leaving": "127.0.0.1:8082", "port": 8081}, "--port"),
        ("single", {"agent": "/opt/my agent.py"}, "--agent"),
        ("distributed", {"leaving": "xx"}, "--leaving: 'xx' is not HOST:PORT"),
        ("events", {"leaving": "127.0.0.1:99999"}, "--leaving: '127.0.0.1:99999' is not HOST:PORT"),
        ("single", {"leaving": "127.0.0.1:9999"}, "--leaving: nobody joins a server in `single`"),
        ("single", {"leaving": "xx"}, "--leaving: nobody joins a server in `single`"),
    ],
)
def test_what_cannot_be_is_told(blueprint: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        setup(blueprint, **options)


def test_the_last_server_may_have_the_last_port_of_four_digits() -> None:
    assert setup("distributed", port=9997).ports()[-1] == 9999
    assert setup("single", port=9999).second_addresses() == ("127.0.0.1:19999",)


def test_that_nobody_leaves_may_be_said_of_every_blueprint() -> None:
    for blueprint in ("single", "distributed", "events"):
        assert setup(blueprint, leaving="none") == setup(blueprint)
