"""In place of Docker: is what is to be built there, and does compose find its files, profiles and variables?"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]


def build(context: Path, file: Path, argument: str) -> None:
    """Build an image."""
    name, _, value = argument.partition("=")
    text = file.read_text()
    if not re.search(rf"^ARG {name}=", text, re.MULTILINE):
        sys.exit(f"{file} has no argument {name}")
    extras = (context / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    if not re.search(rf"^{value} = \[", extras, re.MULTILINE):
        sys.exit(f"there is no extra {value}")
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for path in line.split():
            if not (context / path).exists():
                sys.exit(f"{path} is to be copied, and is not there")
    sys.stdout.write("built\n")


def up(files: list[Path], profile: str | None) -> None:
    """Start the services of some files."""
    texts = [path.read_text() for path in files]
    services = {name: service for text in texts for name, service in yaml.safe_load(text)["services"].items()}
    profiles = {name for service in services.values() for name in service.get("profiles", ())}
    if profile and profile not in profiles:
        sys.exit(f"no service has the profile {profile}")
    for name in re.findall(r"\$\{(\w+):?\?", "".join(texts)):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set")
    for name in ("AGENT", "RULES"):
        if name in os.environ and not Path(os.environ[name]).is_file():
            sys.exit(f"{name} names no file")
    sys.stdout.write(f"started {' '.join(services)}\n")


def main() -> None:
    """Read the command line as far as the README uses Docker's."""
    parser = argparse.ArgumentParser("docker", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build")
    building.add_argument("-t", required=True)
    building.add_argument("-f", type=Path, required=True)
    building.add_argument("--build-arg", required=True)
    building.add_argument("context", type=Path)
    composing = commands.add_parser("compose")
    composing.add_argument("-f", type=Path)
    composing.add_argument("--profile")
    composing.add_argument("action", choices=["up"])
    composing.add_argument("--build", action="store_true")
    composing.add_argument("--wait", action="store_true")
    given = parser.parse_args()
    if given.command == "build":
        build(given.context, given.f, given.build_arg)
    else:
        up([given.f] if given.f else [Path(part) for part in os.environ["COMPOSE_FILE"].split(":")], given.profile)


if __name__ == "__main__":
    main()
