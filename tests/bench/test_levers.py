"""Configurations of the server: every flag is said out loud, and the command line takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness.levers import ALL, CONFIGURATIONS, LEVERS, NEVER_MS, OFF, chosen
from retell_ws.settings import load


def test_off_turns_everything_off_and_all_turns_everything_on() -> None:
    off = CONFIGURATIONS[OFF].flags(Path("common.txt"))
    flags = ["--no-speculate", "--no-hedge", "--fallback-model", "", "--no-warm-cache", "--no-answer-cache"]
    assert off == [*flags, "--holding-ms", NEVER_MS]
    every = CONFIGURATIONS[ALL].flags(Path("common.txt"))
    assert every[:2] == ["--speculate", "--hedge"]
    assert not [flag for flag in every if flag.startswith("--no-")]
    assert "--answers-file" in every and "--holding-ms" not in every


def test_each_lever_alone_differs_from_off_in_that_lever() -> None:
    off = set(CONFIGURATIONS[OFF].flags(Path("common.txt")))
    for lever in LEVERS:
        changed = set(CONFIGURATIONS[lever].flags(Path("common.txt"))) ^ off
        assert changed, lever
        assert len([flag for flag in changed if flag.startswith("--")]) <= 3


def test_an_empty_fallback_model_is_a_setting() -> None:
    assert load({"fallback_model": ""}, environment={}).fallback_model == ""


def test_unknown_configurations_are_refused() -> None:
    assert [configuration.name for configuration in chosen("off, all")] == [OFF, ALL]
    with pytest.raises(SystemExit, match="unknown configuration half"):
        chosen("off,half")
