"""`retell_ws blueprint apply`: write the files of a blueprint, or move a set-up to it."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from msgspec import structs
from rich.console import Console
from rich.text import Text

from ..deploy.files import BARRED, MUST, Blueprint, Wanted, files, settings
from ..deploy.folder import Change, changes, now_applied, read_file, remembered, write
from ..deploy.moves import told
from ..deploy.next_setup import NONE, Options, next_setup
from ..deploy.pods import Pods, for_pods
from ..deploy.proxies import Proxy
from ..deploy.redis_url import may_hold_password
from ..deploy.settings_file import Merged, lines_of, merged, put_back, read_settings
from ..errors import SettingsError
from ..plural import many
from ..settings import Settings, load

__all__ = ["apply"]

FILE: Final = "retell_ws.toml"

_SETTINGS: Final = {"port": "port", "redis_url": "redis_url", "kafka": "kafka_bootstrap"}
"""Options that are settings, too: what is said now wins over what stands in the file."""

_OWNERS: Final = frozenset({"redis_url", "workers", "kafka_bootstrap"})
"""Settings of the owner's that come back when nothing contradicts them any more. A port may be another server's now."""

# A URL holds a password only where there is an @, or a query: see `may_hold_password`.
_SECRET: Final = re.compile(
    r"^([ +-]\s*(?:#\s*)*[\"']?(?:(?:path_secret|admin_token)[\"']?\s*=|redis_url[\"']?\s*=(?=.*[@?]))\s*).*"
)


def apply(
    name: Blueprint,
    /,
    *,
    into: Path,
    agent: Path | None = None,
    servers: int | None = None,
    port: int | None = None,
    proxy: Proxy | Literal["none"] | None = None,
    listen: str | None = None,
    tls: str | None = None,
    domain: str | None = None,
    image: str | None = None,
    redis_url: str | None = None,
    kafka: str | None = None,
    leaving: str | None = None,
    yes: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> int:
    """Write the files of a blueprint into a folder, or move the set-up there to it, and say what to do next.

    It shows what would change and asks; when nothing would it says again what there was to do. Your own settings stay,
    unless they contradict the blueprint; a file that you have edited is not overwritten without --force. No secret is
    written. What is not given is as it was the last time.

    Args:
        name: The blueprint.
        into: The folder; made when it is not there.
        agent: The agent's file; by default agent.py in the folder.
        servers: How many servers; by default 3, and 1 in `single` and without Kafka in `events`.
        port: The port of the first server's calls, from 1024; those of the others follow, up to 9999, as a second port
            has the same number with a 1 before it.
        proxy: What is before the servers; by default HAProxy.
        listen: HOST:PORT or :PORT where the proxy listens; by default :8080, and :443 with TLS.
        tls: CERT.pem or CERT.pem,KEY.pem with which the proxy ends TLS.
        domain: The name Retell dials: Caddy gets a certificate for it, Kubernetes an Ingress.
        image: The image of containers.
        redis_url: Where calls are kept; without a password, which stands in the file of secrets.
        kafka: HOST:PORT of Kafka's brokers, with commas; `none`: facts stay in the journal.
        leaving: HOST:PORT of a server of `single` that still has calls: the proxy asks it first. By default the one
            that was here; `none`: it has gone.
        yes: Write without asking.
        force: Also overwrite files that were edited.
        dry_run: Show what would change, and what would be to do, and write nothing.

    Returns:
        0; 1 when nothing was written though there was something to write.

    Raises:
        UsageError: Something is not of the form it should be, or a file cannot be read or written.
    """
    folder = into.resolve()
    applied = remembered(folder)
    before = None if applied is None else applied.wanted
    options = Options(
        agent=None if agent is None else str(agent.resolve()),
        servers=servers,
        port=port,
        proxy=proxy,
        listen=listen,
        tls=tls if tls in (None, NONE) else ",".join(str(Path(path).absolute()) for path in tls.split(",", 1)),
        domain=domain,
        image=image,
        redis_url=redis_url,
        kafka=kafka,
        leaving=leaving,
    )
    must = MUST | {key for option, key in _SETTINGS.items() if option in options.asked()}
    text = read_file(folder, FILE) or ""
    read_settings(text, str(folder / FILE))
    text = put_back(text, _OWNERS - BARRED[name].keys() - must)
    own = read_settings(text, str(folder / FILE))
    earlier = {} if applied is None else applied.earlier
    wanted = next_setup(name, str(folder), _command(), options, before=before, own=own, earlier=earlier)
    edited = merged(
        text,
        settings(wanted),
        written={} if applied is None else applied.settings,
        must=must,
        barred=BARRED[name],
        name=str(folder / FILE),
    )
    wanted = structs.replace(wanted, has_own_data="data" in edited.kept)
    pods = for_pods(_checked(edited.text, str(folder / FILE)), read_settings(edited.text, str(folder / FILE)))
    texts = {FILE: edited.text, **files(wanted, pods)}
    every = changes(folder, texts, applied)
    found = [change for change in every if change.after is not None or not change.is_foreign]
    console = Console(highlight=False, soft_wrap=True)
    foreign = [change.name for change in found if change.is_foreign and change.name != FILE]
    if found:
        _show(console, found, _secrets(text))
    _tell_settings(console, edited)
    for change in every:
        if change.after is None and change.is_foreign:
            console.print(f"{change.name} is not part of it any more, and stays, as you have edited it: move it away")
    if foreign and not force:
        err = Console(stderr=True, highlight=False, soft_wrap=True)
        err.print(f"retell_ws: nothing was written; edited by somebody, --force overwrites: {', '.join(foreign)}")
        return 1
    names = [change.name for change in found]
    now = now_applied(applied, wanted, settings(wanted), names)
    is_there = sys.stdin.isatty() and sys.stdout.isatty()
    if not found:
        console.print(f"{folder}: nothing to change. What there was to do:")
        _tell(console, wanted, now.before, now.changed, pods, now.earlier)
    elif dry_run or not (yes or is_there):
        _tell(console, wanted, before, names, pods, earlier, _counted(found, "to write", "to change", "to remove"))
        why = "--dry-run" if dry_run else "there is nobody to ask here; --yes writes"
        console.print(f"Nothing was written ({why}).")
        return 0 if dry_run else 1
    elif not yes and not _agreed(console, folder, len(found)):
        return 1
    if not dry_run and (found or now != applied):
        written = {change.name: change.after for change in found}
        write(folder, written, now.with_files({**written, **texts}))
    if found:
        _tell(console, wanted, before, names, pods, earlier, _counted(found, "written", "changed", "removed"))
    return 0


def _command() -> str:
    """Give our command line as it can be called from anywhere."""
    beside = Path(sys.executable).parent / "retell_ws"
    return str(beside) if beside.is_file() else f"{sys.executable} -m retell_ws"


def _checked(text: str, name: str) -> Settings:
    """Read a file of settings as a server does, and refuse what it would refuse.

    Raises:
        SettingsError: It would.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        file.write_text(text, "utf-8")
        try:
            return load(environment={}, config=file)
        except SettingsError as exc:
            raise SettingsError(str(exc).replace(str(file), name)) from None


def _secrets(text: str) -> frozenset[str]:
    """Give the lines of the file of settings that hold a secret, those that we have commented out among them."""
    whole = put_back(text, _OWNERS)
    url = str(read_settings(whole, FILE).get("redis_url", ""))
    return lines_of(whole, {"path_secret", "admin_token"} | ({"redis_url"} if may_hold_password(url) else set()))


def _show(console: Console, found: Sequence[Change], hidden: Collection[str]) -> None:
    for change in found:
        for line in change.diff():
            told = _SECRET.sub(r"\1***", line)
            if told == line and line[1:].lstrip("# \t").strip() in hidden:  # a text over several lines
                told = f"{line[:1]}***"
            console.print(Text(told, style=_style(line)))


def _counted(found: Sequence[Change], write: str, change: str, remove: str) -> str:
    """Say how many files there are of each kind."""
    made = sum(each.before is None for each in found)
    gone = sum(each.after is None for each in found)
    removed = f", {gone} {remove}" if gone else ""
    return f"{many(made, 'file')} {write}, {len(found) - made - gone} {change}{removed}"


def _style(line: str) -> str:
    if line.startswith(("---", "+++")):
        return "bold"
    return {"@": "cyan", "+": "green", "-": "red"}.get(line[:1], "")


def _agreed(console: Console, folder: Path, number: int) -> bool:
    with suppress(EOFError):
        answer = console.input(f"Write {many(number, 'file')} into {folder}? \\[y/N] ")
        if answer.strip().lower() in ("y", "yes"):
            return True
    console.print("Nothing was written.")
    return False


def _tell_settings(console: Console, edited: Merged) -> None:
    for key in edited.kept:
        console.print(f"{FILE}: {key} stays as you have set it")
    for key, value in edited.changed.items():
        console.print(f"{FILE}: {key} contradicts the blueprint, and becomes {value!r}")
    for key, why in edited.left_out.items():
        console.print(f"{FILE}: {key} is commented out: {why}", markup=False)


def _tell(
    console: Console,
    wanted: Wanted,
    before: Wanted | None,
    changed: Collection[str],
    pods: Pods,
    earlier: Mapping[str, Wanted],
    done: str = "",
) -> None:
    """Say what was done, and what is to be done now."""
    console.print(f"\n[bold]{_title(wanted, before)}[/]{': ' if done else ''}{done}\n")
    has_agent = Path(wanted.agent).is_file()
    sections = told(wanted, before, changed=changed, has_agent=has_agent, not_in_pods=pods.left_out, earlier=earlier)
    for section in sections:
        console.print(f"[bold]{section.title}[/]")
        for line in section.lines:
            console.print(Text(f"    {line}", style="cyan") if line.startswith("$ ") else Text(f"  {line}"))
        console.print()


def _title(wanted: Wanted, before: Wanted | None) -> str:
    if before is not None and before.blueprint != wanted.blueprint:
        return f"From {before.blueprint} to {wanted.blueprint}"
    return wanted.blueprint
