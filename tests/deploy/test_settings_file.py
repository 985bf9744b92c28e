"""What somebody wrote into their settings stays: an edit changes what it has to, and nothing else."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.deploy.settings_file import Value, lines_of, merged, put_back, read_settings
from retell_ws.errors import SettingsError

WANTED: dict[str, Value] = {"blueprint": "distributed", "redis_url": "redis://127.0.0.1:6379/0"}
MUST = frozenset({"blueprint"})


def test_a_new_file_has_each_setting_with_its_meaning() -> None:
    text = merged("", WANTED, written={}, must=MUST, barred={}).text
    assert tomllib.loads(text) == WANTED
    assert text.startswith("# `single`: state in memory, one server;")
    assert all(len(line) <= 120 for line in text.splitlines())


def test_what_the_owner_chose_wins_and_is_told() -> None:
    own = '# ours\nredis_url = "redis://store:6379/1"  # the big one\nmax_calls = 50\n'
    found = merged(own, WANTED, written={}, must=MUST, barred={})
    assert found.text.startswith(own)
    assert found.kept == {"redis_url": "redis://store:6379/1"}
    assert tomllib.loads(found.text) == {
        "blueprint": "distributed",
        "redis_url": "redis://store:6379/1",
        "max_calls": 50,
    }


def test_what_contradicts_is_changed_where_it_stands_or_commented_out_with_the_reason() -> None:
    own = 'blueprint = "events" # a "#" and more\nworkers = 4\n\nmodel_name = """\\\n  own"""\n'
    found = merged(own, {"blueprint": "single"}, written={}, must=MUST, barred={"workers": "one process has the calls"})
    assert found.text.splitlines()[:3] == [
        'blueprint = "single" # a "#" and more',
        "# Left out: one process has the calls.",
        "# workers = 4",
    ]
    assert found.changed == {"blueprint": "single"} and found.left_out == {"workers": "one process has the calls"}
    assert tomllib.loads(found.text) == {"blueprint": "single", "model_name": "own"}


def test_a_statement_of_many_lines_is_commented_out_as_a_whole() -> None:
    found = merged('redis_url = """\\\n  redis://x"""\nport = 1', {}, written={}, must=MUST, barred={"redis_url": "no"})
    assert tomllib.loads(found.text) == {"port": 1}


def test_what_was_left_out_is_put_back_as_it_was() -> None:
    own = '# ours\nworkers = 4  # few\nredis_url = """\\\n\n  redis://x"""\nport = 1\n'
    out = merged(own, {}, written={}, must=MUST, barred={"workers": "no", "redis_url": "no"}).text
    assert tomllib.loads(out) == {"port": 1}
    assert put_back(out, {"workers", "redis_url"}) == own
    assert put_back(out.replace("\n", "\r\n"), {"workers", "redis_url"}) == own.replace("\n", "\r\n")
    assert tomllib.loads(put_back(out, {"workers"})) == {"port": 1, "workers": 4}
    twice = f"{out}workers = 5\n"
    assert tomllib.loads(put_back(twice, {"workers"})) == {"port": 1, "workers": 5}
    assert put_back(f"{out}{out.replace('port', 'x')}", {"workers"}).count("\nworkers") == 1


@pytest.mark.parametrize(
    "text",
    ["# Left out: no.\n", "# Left out: no.\nport = 1\n", "# Left out: no.\n# workers = \n", "# Left out: no.\n# \n"],
)
def test_a_comment_that_holds_no_statement_stays(text: str) -> None:
    assert put_back(text, {"workers", "port"}) == text


def test_what_we_wrote_is_ours_to_change_and_to_take_away_with_its_comment() -> None:
    first: dict[str, Value] = {"blueprint": "single", "port": 8081}
    before = merged("# mine\nmax_calls = 5\n", first, written={}, must=MUST, barred={}).text
    after = merged(before, {"blueprint": "distributed"}, written=first, must=MUST, barred={})
    assert tomllib.loads(after.text) == {"max_calls": 5, "blueprint": "distributed"}
    assert after.changed == {}, "nothing of the owner's"
    assert after.text.count("#") == before.count("#") - 1 and "# mine\n" in after.text


def test_what_we_wrote_and_somebody_changed_is_theirs() -> None:
    found = merged("port = 9000\n", {"port": 8082}, written={"port": 8081}, must=MUST, barred={})
    assert found.text == "port = 9000\n" and found.kept == {"port": 9000}


def test_lines_end_as_their_owner_ends_them() -> None:
    own = "# mine\r\nmax_calls = 5\r\n"
    text = merged(own, WANTED, written={}, must=MUST, barred={}).text
    assert text.startswith(own) and text.count("\r\n") == text.count("\n")
    assert merged(text, WANTED, written=WANTED, must=MUST, barred={}).text == text


def test_lines_are_found_by_the_key_of_their_statement() -> None:
    own = '# path_secret\n"path_secret" = """\n\n  a\n"""\nport = 1\n'
    assert lines_of(own, {"path_secret"}) == {'"path_secret" = """', "a", '"""'}
    assert lines_of(own, {"host"}) == frozenset()


def test_a_mark_in_a_value_is_no_comment() -> None:
    own = 'host = "#1 #2"  # ours #3\nmodel_name = "a#b"\n'
    found = merged(
        own, {"host": "::", "model_name": "c"}, written={}, must=frozenset({"host", "model_name"}), barred={}
    )
    assert found.text == 'host = "::"  # ours #3\nmodel_name = "c"\n'


def test_a_blank_line_of_ours_goes_with_what_stood_behind_it() -> None:
    ours: dict[str, Value] = {"port": 8081}
    first = merged("", ours, written={}, must=MUST, barred={}).text
    assert merged(first, {}, written=ours, must=MUST, barred={}).text == ""


def test_a_number_is_no_truth() -> None:
    assert merged("journal_mb = 1\n", {}, written={"journal_mb": True}, must=MUST, barred={}).text == "journal_mb = 1\n"


def test_a_comment_of_somebody_else_s_stays_where_ours_goes() -> None:
    found = merged("# mine\nport = 8081\n", {}, written={"port": 8081}, must=MUST, barred={})
    assert found.text == "# mine\n"


@pytest.mark.parametrize("text", ["port = ", "[server]\nport = 1\n", "port = [1]\n", f"port = {'[' * 5000}"])
def test_a_file_that_holds_no_settings_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="retell_ws.toml"):
        read_settings(text, "retell_ws.toml")


NAMES = st.sampled_from(["blueprint", "port", "host", "redis_url", "max_calls", "hedge", "drain_s"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
VALUES: st.SearchStrategy[str | int] = st.one_of(TEXTS, st.integers(-5, 10**6), st.booleans())
TRAILING = st.sampled_from(["", " # x", '  #"'])
SETTINGS = st.dictionaries(NAMES, VALUES)


def spelled(value: str | int) -> st.SearchStrategy[str]:
    """Ways to write one value."""
    if isinstance(value, bool):
        return st.just(str(value).lower())
    if isinstance(value, int):
        return st.just(str(value))
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    ways = [f'"{escaped}"', f'"""\\\n  {escaped}"""' if escaped.strip() == escaped and escaped else '""""""']
    return st.sampled_from(ways if value else ['""'])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file of settings as people write them."""
    lines = []
    for name, value in draw(SETTINGS).items():
        lines.append(draw(st.sampled_from(["", "# a note = 1\n", "\n", '# "\n'])))
        key = draw(st.sampled_from([name, f'"{name}"', f"  {name}"]))
        lines.append(f"{key} = {draw(spelled(value))}{draw(TRAILING)}\n")
    return "".join(lines)[: None if draw(st.booleans()) else -1]


@given(files(), SETTINGS, SETTINGS, st.sets(NAMES), st.sets(NAMES))
def test_an_edit_gives_what_was_asked_for_and_leaves_the_rest(
    text: str, wanted: dict[str, str | int], written: dict[str, str | int], must: set[str], barred: set[str]
) -> None:
    try:
        before = read_settings(text, "x")
    except SettingsError:
        return  # cut in the middle of the last value
    reasons = dict.fromkeys(barred - set(wanted), "it does not go")
    found = merged(text, wanted, written=written, must=frozenset(must), barred=reasons)
    after = read_settings(found.text, "x")
    for name in {*before, *wanted}:
        is_ours = name in written and type(before.get(name)) is type(written[name]) and before[name] == written[name]
        if name in wanted:
            stays = name in before and name not in must and not is_ours
            assert after[name] == (before[name] if stays else wanted[name])
        elif is_ours or name in reasons:
            assert name not in after
        else:
            assert after[name] == before[name]
    assert set(after) <= {*before, *wanted}
    for line in text.splitlines():
        if line.startswith("# a note"):
            assert line in found.text
    again = merged(found.text, wanted, written={**written, **wanted}, must=frozenset(must), barred=reasons)
    assert read_settings(again.text, "x") == after
