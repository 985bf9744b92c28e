"""Try it: the page plays Retell for a call of its own, over the real socket."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal
from playwright.sync_api import Locator, Page, expect

from retell_ws.server import Server

from ..http_client import ask
from .conftest import PHONE, OpenPage, Shoot

GREETING = "Harbor Clinic, this is Ana. How can I help you?"


def dial(page: Page, pace: str = "at once") -> Locator:
    """Begin a call and hear the greeting; give the lines the agent speaks."""
    page.get_by_role("button", name="Call").click()
    page.get_by_label("It speaks").select_option(pace)
    said = page.get_by_role("log", name="Your call").locator(".agent")
    expect(said.first.locator(".heard")).to_have_text(GREETING)
    return said


def say(page: Page, words: str) -> None:
    page.get_by_label("What you say").fill(words)
    page.get_by_label("What you say").press("Enter")


def test_who_types_is_answered_with_timings(server: Server, open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(server, "#/try")
    said = dial(page)
    say(page, "When are you open?")
    expect(said.nth(1).locator(".heard")).to_have_text(re.compile(r"^We are open .* an appointment\? ?$"))
    expect(said.nth(1).locator(".times")).to_have_text(
        re.compile(r"^first frame \d+\sms · first sentence \d+\sms · done \d+\sms · \d+ frames$")
    )
    page.get_by_text("What goes over the line").click()
    wire = page.get_by_role("list", name="Messages")
    expect(wire.locator(".in").first).to_contain_text('"response_type":"config"')
    expect(wire.locator(".out").filter(has_text="response_required")).to_contain_text("When are you open?")
    shoot(page, "try-answered")


def test_enter_interrupts_and_what_was_not_heard_is_not_in_the_transcript(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    said = dial(page)
    page.get_by_label("It speaks").select_option("as on the phone")
    say(page, "When are you open?")
    expect(said.nth(1).locator(".heard")).to_contain_text("We are")
    expect(page.get_by_role("button", name="Interrupt")).to_be_visible()
    say(page, "I would like an appointment.")
    expect(said.nth(2)).to_contain_text("Which day would suit you?")
    expect(said.nth(1)).to_have_class(re.compile("cut"))
    expect(said.nth(1).locator(".times")).to_contain_text("interrupted")
    unheard = said.nth(1).locator(".unheard").inner_text()
    assert "appointment?" in unheard
    page.get_by_text("What goes over the line").click()
    asked = page.locator(".wire .out").filter(has_text='"response_id":2').filter(has_text="response_required")
    expect(asked).to_contain_text("We are")
    expect(asked).not_to_contain_text("Would you like an appointment?")


def test_an_answer_that_is_under_way_falls_silent(slow: Server, open_page: OpenPage) -> None:
    page = open_page(slow, "#/try")
    said = dial(page)
    say(page, "When are you open?")
    expect(said.nth(1)).to_contain_text("We are open")
    page.get_by_role("button", name="Interrupt").click()  # without words
    expect(page.get_by_text("(a sound, no words)")).to_be_visible()
    expect(said.nth(2)).to_contain_text("done")
    expect(said.nth(1)).not_to_contain_text("appointment")


def test_what_is_typed_is_told_before_it_is_said_and_speculated_on(slow: Server, open_page: OpenPage) -> None:
    page = open_page(slow, "#/try")
    said = dial(page)
    page.get_by_text("What goes over the line").click()
    page.get_by_label("What you say").fill("When are you open?")
    typed = page.locator(".wire .out").filter(has_text="user_turn")
    expect(typed).to_contain_text("When are you open?")
    page.get_by_label("What you say").press("Enter")
    expect(said.nth(1)).to_contain_text("done")
    asked = page.locator(".wire .out").filter(has_text="response_required").inner_text()
    assert asked.count("When are you open?") == 1
    page.get_by_role("link", name="its turns").click()
    badge = page.locator(".falls .badge")
    expect(badge).to_have_text("adopted")
    expect(badge).to_have_attribute("title", re.compile("the model was asked .* before Retell asked"))


def test_a_call_survives_a_redial_and_is_greeted_once(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    said = dial(page)
    say(page, "When are you open?")
    expect(said.nth(1)).to_contain_text("done")
    page.get_by_role("button", name="Cut the line").click()
    expect(page.get_by_text("The line was cut. Retell redials.")).to_be_visible()
    expect(page.locator(".talk .note").last).to_have_text("Back on the line.")
    expect(page.locator(".try .pill")).to_have_text("on the line")
    say(page, "Yes, please.")
    expect(said.nth(2)).to_contain_text("Which day would suit you?")
    expect(said.filter(has_text=GREETING)).to_have_count(1)


def test_two_clicks_are_one_call(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    dialled = list[str]()
    page.on("request", lambda request: dialled.append(request.url) if request.url.endswith("/console/try") else None)
    page.get_by_role("button", name="Call").evaluate("button => { button.click(); button.click(); }")
    said = page.get_by_role("log", name="Your call").locator(".agent")
    expect(said.first.locator(".heard")).to_have_text(GREETING)
    assert len(dialled) == 1


def test_a_page_that_slept_has_lost_no_line(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    page.clock.install()
    said = dial(page)
    page.clock.fast_forward(8_000)  # no ping was sent meanwhile, so no echo is missing
    say(page, "When are you open?")
    expect(said.nth(1)).to_contain_text("We are open")
    expect(page.get_by_text("No echo for 5 s.")).to_have_count(0)


def test_a_line_that_does_not_echo_is_dialled_again(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    page.clock.install()
    dial(page)
    page.evaluate("() => { window.sends = WebSocket.prototype.send; WebSocket.prototype.send = () => {}; }")
    page.clock.run_for(8_000)
    expect(page.get_by_text("No echo for 5 s. Retell redials.")).to_be_visible()
    page.evaluate("() => { WebSocket.prototype.send = window.sends; }")
    expect(page.locator(".try .pill")).to_have_text("on the line")


def test_silence_reminds_the_agent(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    said = dial(page)
    page.get_by_role("button", name="Say nothing").click()
    expect(said.nth(1)).to_contain_text("Are you still there?")


def test_hanging_up_ends_the_call_and_another_may_follow(server: Server, open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(server, "#/try", size=PHONE)
    dial(page)
    expect(page.get_by_role("link", name="Try it")).to_have_class("calling")
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    shoot(page, "try-phone-calling")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_text("The call has ended: user_hangup.")).to_be_visible()
    call_id = (page.get_by_role("link", name="its turns").get_attribute("href") or "").removeprefix("#/call/")
    assert call_id
    page.get_by_role("link", name="Calls").click()
    expect(page.get_by_role("status").filter(has_text="on 1 server")).to_be_visible()
    expect(page.get_by_role("link", name=call_id)).to_have_count(0)
    page.get_by_role("link", name="Try it", exact=True).click()
    page.get_by_role("button", name="Call again").click()
    expect(page.get_by_text("The call has ended")).to_be_hidden()


def test_the_agent_may_hang_up_once_it_has_said_goodbye(server: Server, open_page: OpenPage) -> None:
    page = open_page(server, "#/try")
    said = dial(page)
    say(page, "That is all, goodbye.")
    expect(page.get_by_text("The call has ended: agent_hangup.")).to_be_visible()
    expect(said.last.locator(".heard")).to_contain_text("Goodbye")


def test_the_call_goes_on_while_its_turns_are_looked_at(server: Server, open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(server, "#/try", dark=True)
    dial(page)
    say(page, "When are you open?")
    expect(page.locator(".try .agent").nth(1)).to_contain_text("done")
    page.get_by_role("link", name="its turns").click()
    expect(page.locator(".falls li")).to_have_count(1)
    page.get_by_label("Have the agent say").fill("One more thing.")
    page.get_by_role("button", name="Say").click()
    page.get_by_role("link", name="Try it").click()
    expect(page.locator(".try .agent").last).to_contain_text("One more thing.")
    expect(page.locator(".try .agent").last).to_contain_text("unasked")
    shoot(page, "try-dark-answered")


def test_a_server_that_takes_no_call_is_told(server: Server, open_page: OpenPage, draining: None) -> None:
    page = open_page(server, "#/try")
    page.get_by_role("button", name="Call").click()
    expect(page.get_by_text("The call has ended: error_llm_websocket_open (503).")).to_be_visible()


@pytest.fixture
def draining(portal: BlockingPortal, server: Server) -> Iterator[None]:
    portal.call(ask, server, "POST", "/drain")
    yield
    portal.call(ask, server, "DELETE", "/drain")
