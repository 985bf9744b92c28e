"""The exception tree, and what its types promise."""

from __future__ import annotations

import re

import pytest

from retell_ws import errors
from retell_ws.errors import (
    ModelBroken,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    RetellWsError,
)


def drawn() -> list[tuple[str, str]]:
    """Child and parent of each exception, as the module's docstring draws them."""
    pairs: list[tuple[str, str]] = []
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    (?P<branch>[ │├└─]*)(?P<name>[A-Z][A-Za-z]+)(?: {2,}|$)", line):
            depth = len(found["branch"])
            path = [(level, name) for level, name in path if level < depth]
            pairs.append((found["name"], path[-1][1] if path else "Exception"))
            path.append((depth, found["name"]))
    return pairs


def real() -> list[tuple[str, str]]:
    """The same of the classes, depth first and in the order they are defined in."""
    pairs: list[tuple[str, str]] = []

    def climb(kind: type[BaseException], parent: str) -> None:
        pairs.append((kind.__name__, parent))
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                climb(child, kind.__name__)

    climb(RetellWsError, "Exception")
    return pairs


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    assert drawn() == real()


def test_every_exception_of_the_tree_is_exported() -> None:
    assert sorted(name for name, _ in real()) == sorted(errors.__all__)


@pytest.mark.parametrize(
    ("kind", "retriable"),
    [
        (ModelError, False),
        (ModelUnavailable, True),
        (ModelRateLimited, True),
        (ModelRejected, False),
        (ModelBroken, True),
    ],
)
def test_the_type_tells_whether_another_try_may_work(kind: type[ModelError], retriable: bool) -> None:
    assert kind("it failed").retriable is retriable


def test_a_model_error_carries_what_the_api_said() -> None:
    error = ModelRateLimited("slow down", status=429, kind="rate_limit_error", request_id="req_1", retry_after_s=1.5)
    assert str(error) == "slow down"
    assert (error.status, error.kind, error.request_id, error.retry_after_s) == (429, "rate_limit_error", "req_1", 1.5)


def test_a_model_error_without_an_answer_carries_nothing() -> None:
    error = ModelUnavailable("no connection")
    assert (error.status, error.kind, error.request_id, error.retry_after_s) == (None, None, None, None)
