"""Which paths dial a call, and which secrets open them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.route import PREFIX, call_id_of

ONE = b"first-secret-0001"
TWO = b"other-SECRET-0002"
CALL = "call_7c31e0aa94d25b6f8810c3de245"


@pytest.mark.parametrize("call_id", [CALL, "test-call-id", "A", "_", "-", "x" * 128, "Vx9-anything_OPAQUE"])
def test_a_call_id_is_the_last_segment(call_id: str) -> None:
    assert call_id_of(f"/llm-websocket/{call_id}", ()) == call_id
    assert call_id_of(f"/llm-websocket/{ONE.decode()}/{call_id}", (ONE,)) == call_id


@pytest.mark.parametrize("query", ["?", "?tenant=acme", "?a=/llm-websocket/other", "?x=1?y=2", "?%00"])
def test_a_query_is_ignored(query: str) -> None:
    assert call_id_of(f"/llm-websocket/{CALL}{query}", ()) == CALL
    assert call_id_of(f"/llm-websocket/{ONE.decode()}/{CALL}{query}", (ONE,)) == CALL


ODD_PATHS = [
    "",
    "/",
    "*",
    "/livez",
    "/llm-websocket",
    "/llm-websocket/",
    "/llm-websocket?x",
    "/llm-websocket//",
    f"/llm-websocket//{CALL}",
    f"//llm-websocket/{CALL}",
    f"/llm-websocket/{CALL}/",
    f"/llm-websocket/{CALL}//",
    f"/llm-websocket/../{CALL}",
    f"/llm-websocket/./{CALL}",
    f"/x/../llm-websocket/{CALL}",
    "/llm-websocket/..",
    f"/LLM-websocket/{CALL}",
    f"/llm-websockets/{CALL}",
    f"/llm-websocket{CALL}",
    f"llm-websocket/{CALL}",
    f"http://host/llm-websocket/{CALL}",
    "/llm-websocket/" + "x" * 129,
    "/llm-websocket/call 1",
    "/llm-websocket/call_1\n",
    "/llm-websocket/call_1%0a",
    "/llm-websocket/call%5F1",
    "/llm-websocket/{{call_id}}",
    "/llm-websocket/call_é",
    "/llm-websocket/call_\udce9",
    "/llm-websocket/call_1#top",
    "/llm-websocket/call_1;v=1",
    "/llm-websocket/call.1",
    "/llm-websocket/\u0661",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_every_other_path_dials_nothing(path: str) -> None:
    assert [call_id_of(path, secrets) for secrets in ((), (ONE,), (ONE, TWO))] == [None, None, None]


@pytest.mark.parametrize("secret", [ONE, TWO])
def test_while_rotating_both_secrets_open(secret: bytes) -> None:
    assert call_id_of(f"{PREFIX}/{secret.decode()}/{CALL}", (ONE, TWO)) == CALL
    assert call_id_of(f"{PREFIX}/{secret.decode()}/{CALL}", (TWO, ONE)) == CALL


def test_the_old_secret_closes_after_the_rotation() -> None:
    assert call_id_of(f"{PREFIX}/{ONE.decode()}/{CALL}", (TWO,)) is None


WRONG = [
    "",
    "wrong",
    ONE.decode().swapcase(),
    ONE.decode()[:-1],
    ONE.decode() + "x",
    " " + ONE.decode(),
    ONE.decode() + "/",
    "/" + ONE.decode(),
    ONE.decode() + "/x",
    "x/" + ONE.decode(),
    "../" + ONE.decode(),
    "./" + ONE.decode(),
    ONE.decode() + "," + TWO.decode(),
    ONE.decode().replace("-", "%2D"),
    ONE.decode().replace("f", "%66"),
    "ｆ" + ONE.decode()[1:],
    "é" * 17,
    "\udcff" * 17,
    "x" * 100_000,
]


@pytest.mark.parametrize("given", WRONG, ids=range(len(WRONG)))
def test_a_secret_is_compared_byte_by_byte(given: str) -> None:
    assert call_id_of(f"{PREFIX}/{given}/{CALL}", (ONE,)) is None
    assert call_id_of(f"{PREFIX}/{given}/{CALL}", (ONE, TWO)) is None


def test_a_secret_is_needed_when_one_is_set_and_unwelcome_when_none_is() -> None:
    assert call_id_of(f"{PREFIX}/{CALL}", (ONE,)) is None
    assert call_id_of(f"{PREFIX}/{ONE.decode()}/{CALL}", ()) is None


def test_a_secret_may_stand_in_the_query_only_in_vain() -> None:
    assert call_id_of(f"{PREFIX}/{CALL}?token={ONE.decode()}", (ONE,)) is None
    assert call_id_of(f"{PREFIX}/?/{ONE.decode()}/{CALL}", (ONE,)) is None


def test_the_secret_itself_is_no_call_id() -> None:
    assert call_id_of(f"{PREFIX}/{ONE.decode()}", (ONE,)) is None
    assert call_id_of(f"{PREFIX}/{ONE.decode()}/", (ONE,)) is None


paths = st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode("ascii", "surrogateescape"))


@given(paths, st.sampled_from([(), (ONE,), (ONE, TWO)]))
def test_any_path_is_answered_and_only_harmless_ids_come_out(path: str, secrets: tuple[bytes, ...]) -> None:
    call_id = call_id_of(f"{PREFIX}/{path}", secrets)
    assert call_id is None or (not secrets and 0 < len(call_id) <= 128 and call_id.isascii())
    assert call_id_of(path, secrets) is None
