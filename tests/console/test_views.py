"""The console's views, in a browser: what they show of a real server's calls, and what they do to them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import Route, expect

from retell_ws.server import Server
from retell_ws.testing import FakeRetell

from ..http_client import TOKEN
from .conftest import PHONE, OpenPage, Shoot

WIDER = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture
def caller(portal: BlockingPortal, server: Server) -> Iterator[FakeRetell]:
    """Somebody who has asked for the opening hours."""
    with portal.wrap_async_context_manager(FakeRetell(server.url, details={})) as retell:
        portal.call(retell.greeting)
        portal.call(retell.ask, "When are you open?")
        yield retell


def test_a_wrong_token_is_told_in_a_line_and_kept_nowhere(server: Server, open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(server, token=None)
    page.get_by_label("Admin token").fill("not-the-token")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text("That is not this server's token.")
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0
    shoot(page, "token")


def test_a_token_opens_the_console_for_this_tab_until_it_is_forgotten(server: Server, open_page: OpenPage) -> None:
    page = open_page(server)
    assert TOKEN not in page.url
    page.reload()
    expect(page.get_by_role("heading", name="Calls")).to_be_visible()
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="Forget token").click()
    page.reload()
    expect(page.get_by_label("Admin token")).to_be_focused()


def test_without_calls_the_page_says_what_to_do(server: Server, open_page: OpenPage) -> None:
    page = open_page(server)
    page.get_by_role("link", name="Try it →").click()
    expect(page.get_by_role("heading", name="Try it")).to_be_visible()


def test_a_call_is_listed_and_found_by_its_id(server: Server, caller: FakeRetell, open_page: OpenPage) -> None:
    page = open_page(server)
    row = page.get_by_role("row").filter(has_text=caller.call_id)
    expect(row).to_contain_text("listens")
    expect(page.get_by_role("columnheader").last).to_have_text("for")  # which a duration stands below
    page.get_by_label("Filter").fill("no such id")
    expect(page.get_by_text("No call has “no such id” in its id.")).to_be_visible()
    page.get_by_label("Filter").fill(caller.call_id[-6:].upper())
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name=caller.call_id)).to_be_visible()


def test_what_is_said_appears_as_it_is_said(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    talk = page.get_by_role("log", name="What is said in this call")
    expect(talk).to_contain_text("Harbor Clinic, this is Ana.")
    expect(talk.locator(".caller")).to_contain_text("When are you open?")
    expect(talk.locator(".agent").last).to_contain_text("We are open from nine to five")
    portal.call(caller.ask, "I would like an appointment.")
    expect(talk.locator(".agent").last).to_contain_text("Which day would suit you?")


def test_words_appear_before_retell_tells_them(slow: Server, portal: BlockingPortal, open_page: OpenPage) -> None:
    with portal.wrap_async_context_manager(FakeRetell(slow.url)) as retell:
        portal.call(retell.greeting)
        page = open_page(slow, f"#/call/{retell.call_id}")
        portal.call(retell.request, "When are you open?")
        expect(page.locator(".talk .live")).to_contain_text("We are open")
        expect(page.locator(".talk .live")).to_have_count(0)
        expect(page.locator(".talk .agent").last).to_contain_text("an appointment?")


def test_speech_is_text_whatever_it_looks_like(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage
) -> None:
    speech = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page = open_page(server, f"#/call/{caller.call_id}")
    portal.call(caller.ask, speech)
    expect(page.locator(".talk .caller p").last).to_have_text(speech)
    assert page.locator(".talk img, .talk script").count() == 0
    assert page.title() == f"{caller.call_id} · Console"


def test_each_turn_is_drawn_and_told_in_numbers(server: Server, caller: FakeRetell, open_page: OpenPage) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    turns = page.get_by_role("list", name="Turns, newest first")
    expect(turns.get_by_role("img")).to_have_accessible_name(re.compile(r"Turn 1: .*first token at .*, done at "))
    assert turns.locator("rect.blue title").first.text_content().startswith("first token: ")  # type: ignore[union-attr]
    expect(page.get_by_text("1 of 1 first sentence within 800")).to_be_visible()
    page.get_by_text("In numbers").click()
    cells = page.locator("details tbody tr").first.get_by_role("cell")
    expect(cells.first).to_have_text("1")
    assert 30 <= float(cells.nth(4).inner_text()) <= float(cells.nth(7).inner_text())  # the first token, and the end


def test_the_agent_says_what_is_typed_here(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    page.get_by_label("Have the agent say").fill("We close in five minutes.")
    page.get_by_role("button", name="Say").click()
    expect(page.get_by_text("It was said.")).to_be_visible()
    portal.call(lambda: caller.until(lambda: caller.rules.interrupt is not None))
    assert caller.rules.interrupt is not None
    assert caller.rules.interrupt.text.strip() == "We close in five minutes."
    expect(page.locator(".talk .agent").last).to_contain_text("We close in five minutes.")


def test_enter_pressed_twice_is_said_once_and_what_was_not_said_is_still_there(
    server: Server, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    asked = list[str]()

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=409, json={"error": "the call is between two servers"})

    page.route("**/say", refuse)
    page.get_by_label("Have the agent say").fill("We close in five minutes.")
    page.locator("form.composer").evaluate("form => { form.requestSubmit(); form.requestSubmit(); }")
    expect(page.get_by_text("Not done: the call is between two servers")).to_be_visible()
    expect(page.get_by_label("Have the agent say")).to_have_value("We close in five minutes.")
    assert len(asked) == 1


def test_a_call_ends_only_when_it_is_meant(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    page.get_by_role("button", name="End call…").click()
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert portal.call(caller.ask, "Still there?").text
    page.get_by_role("button", name="End call…").click()
    page.get_by_label("It says").fill("We are closed now. Goodbye.")
    page.get_by_role("button", name="End the call").click()
    assert portal.call(caller.ended) == "agent_hangup"
    expect(page.get_by_text("This call is over, or no server has it.")).to_be_visible()
    expect(page.get_by_role("button", name="Say")).to_be_disabled()


def test_a_call_that_no_server_has_is_shown_again_when_it_is_back(
    server: Server, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    page.get_by_role("button", name="End call…").click()
    page.route("**/view", lambda route: route.fulfill(status=404, json={"error": "no server has this call"}))
    expect(page.get_by_text("This call is over, or no server has it.")).to_be_visible()
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("button", name="Say")).to_be_disabled()
    page.unroute("**/view")  # it was between two servers, or the only one was started anew
    expect(page.get_by_text("This call is over, or no server has it.")).to_be_hidden()
    expect(page.get_by_role("button", name="Say")).to_be_enabled()
    expect(page.locator("header .pill")).to_have_text("listens")


def test_the_budget_is_asked_for_until_the_server_that_has_the_call_tells_it(
    server: Server, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server)
    page.route("**/servers", lambda route: route.fulfill(json={"complete": False, "servers": []}), times=3)
    page.goto(f"{server.http_address}/console#/call/{caller.call_id}")
    expect(page.get_by_text("1 of 1 first sentence within 800")).to_be_visible()


def test_what_cannot_be_seen_of_other_servers_is_told(server: Server, open_page: OpenPage) -> None:
    others = list[str]()

    def incomplete(route: Route) -> None:
        (one,) = (told := route.fetch().json())["servers"]
        route.fulfill(json={**told, "complete": False, "servers": [one, *({**one, "name": name} for name in others)]})

    page = open_page(server, "#/servers")
    page.route("**/servers", incomplete)
    expect(page.get_by_text("The other servers cannot be asked now")).to_be_visible()
    others.append("another")
    expect(page.get_by_text("Not all servers have answered")).to_be_visible()
    expect(page.locator(".server")).to_have_count(2)


def test_of_very_many_calls_the_newest_are_shown_and_all_are_found(server: Server, open_page: OpenPage) -> None:
    def many(route: Route) -> None:
        (one,) = (told := route.fetch().json())["servers"]
        status = {"since_s": 1.0, "attached": True, "turn": "idle"}
        told["servers"] = [
            {**one, "name": f"s{n}", "calls": 100, "live": [{**status, "id": f"call_{n}_{i}"} for i in range(100)]}
            for n in range(200)
        ]
        route.fulfill(json=told)

    page = open_page(server)
    page.route("**/servers", many)
    expect(page.get_by_text("; the newest 500 are shown")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(500)
    page.get_by_label("Filter").fill("call_199_99")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_call_is_handed_on_to_whom_the_directory_names(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server, f"#/call/{caller.call_id}")
    page.get_by_role("button", name="Transfer…").click()
    expect(page.get_by_label("To", exact=True)).to_have_value("the nurse")
    page.get_by_role("dialog").get_by_role("button", name="Transfer").click()
    assert portal.call(caller.ended) == "call_transfer"


def test_nobody_is_offered_where_the_directory_names_nobody(
    server: Server, caller: FakeRetell, open_page: OpenPage
) -> None:
    page = open_page(server)
    page.route("**/directory", lambda route: route.fulfill(json={"labels": []}))
    with page.expect_response("**/directory"):
        page.goto(f"{server.http_address}/console#/call/{caller.call_id}")
    expect(page.locator("header .pill")).to_have_text("listens")
    expect(page.get_by_role("button", name="End call…")).to_be_visible()
    expect(page.get_by_role("button", name="Transfer…")).to_be_hidden()


def test_servers_show_how_full_and_how_fast_they_are(server: Server, caller: FakeRetell, open_page: OpenPage) -> None:
    page = open_page(server, "#/servers")
    card = page.locator(".server")
    expect(card).to_contain_text("1 of 100 calls")
    expect(card.get_by_role("img")).to_be_visible()
    expect(card.locator("line.limit")).to_have_count(1)
    expect(card).to_contain_text("within the budget")


def test_the_server_that_answers_can_be_drained_and_filled_again(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/servers")
    page.get_by_role("button", name="Drain").click()
    expect(page.locator(".server .pill")).to_have_text("draining")
    page.get_by_role("button", name="Take calls again").click()
    expect(page.locator(".server .pill")).to_have_text("takes calls")


def test_a_lost_connection_is_told_and_mended(server: Server, open_page: OpenPage) -> None:
    page = open_page(server)
    page.context.set_offline(True)
    expect(page.get_by_text("Connection lost, trying again…")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Connection lost, trying again…")).to_be_hidden()


def test_nobody_is_asked_while_nobody_looks(server: Server, open_page: OpenPage) -> None:
    page = open_page(server)
    expect(page.get_by_text("No calls now.")).to_be_visible()
    page.clock.install()
    # Headless pages are never hidden, so the page is told that it is.
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    with page.expect_request("**/servers"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    assert len(asked) == 1


@pytest.mark.parametrize("look", ["desk", "dark", "phone"])
def test_each_view_fits_the_screen(
    server: Server, portal: BlockingPortal, caller: FakeRetell, open_page: OpenPage, shoot: Shoot, look: str
) -> None:
    portal.call(caller.ask, "I would like an appointment on Tuesday, as early as you can, if there is anything left.")
    page = open_page(server, dark=look == "dark", **({"size": PHONE} if look == "phone" else {}))
    for view, seen in (
        ("calls", "tbody tr"),
        (f"call/{caller.call_id}", ".falls li"),
        ("servers", "svg.chart"),
        ("try", ".try"),
    ):
        page.goto(f"{server.http_address}/console#/{view}")
        page.locator(seen).first.wait_for()
        assert not page.evaluate(WIDER), view
        shoot(page, f"{view.partition('/')[0]}-{look}")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(16, 20, 25)" if look == "dark" else "rgb(245, 246, 248)")
