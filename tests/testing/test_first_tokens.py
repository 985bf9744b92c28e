"""The distribution of first tokens: its percentiles are those of the mixture, its draws hang on seed and key only."""

from __future__ import annotations

from statistics import quantiles

import msgspec
import pytest

from retell_ws.testing.first_tokens import FirstTokens, body_of, chance

PLAIN = FirstTokens()


def test_the_percentiles_are_those_of_the_whole_mixture() -> None:
    assert PLAIN.within(0.45) == pytest.approx(0.5)
    assert PLAIN.within(1.6) == pytest.approx(0.95)


def test_with_neither_slow_mode_nor_hangs_the_body_is_all() -> None:
    mu, sigma = body_of(FirstTokens(slow=0, hangs=0))
    assert (mu, sigma) == pytest.approx((-0.79851, 0.77121), abs=1e-4)


def test_hangs_are_never_over() -> None:
    assert PLAIN.within(1e9) == pytest.approx(1 - PLAIN.hangs)


def test_many_draws_follow_the_distribution() -> None:
    drawn = [PLAIN.draw(b"words", b"%d" % count) for count in range(40_000)]
    times = [time_s for time_s in drawn if time_s is not None]
    whole = sorted(times) + [1e9] * (len(drawn) - len(times))
    assert whole[len(whole) // 2] == pytest.approx(0.45, rel=0.03)
    assert whole[len(whole) * 95 // 100] == pytest.approx(1.6, rel=0.06)
    assert (len(drawn) - len(times)) / len(drawn) == pytest.approx(0.005, abs=0.0015)
    assert sum(time_s > 1.6 for time_s in times) / len(drawn) == pytest.approx(0.045, abs=0.004)
    assert quantiles(times, n=1000)[-1] < 6


def test_a_draw_hangs_on_the_seed_and_the_key_and_not_on_the_order() -> None:
    forth = [PLAIN.draw(b"m", b"%d" % count) for count in range(50)]
    back = [PLAIN.draw(b"m", b"%d" % count) for count in reversed(range(50))]
    assert forth == back[::-1]
    assert forth != [FirstTokens(seed=2).draw(b"m", b"%d" % count) for count in range(50)]
    assert forth != [PLAIN.draw(b"other", b"%d" % count) for count in range(50)]


def test_chance_lies_between_0_and_1_and_keys_do_not_run_together() -> None:
    drawn = [chance(1, b"%d" % count) for count in range(1000)]
    assert all(0 < value < 1 for value in drawn)
    assert 0.45 < sum(drawn) / len(drawn) < 0.55
    assert chance(1, b"ab", b"c") != chance(1, b"a", b"bc")


@pytest.mark.parametrize(
    "wrong",
    [
        {"p50_s": 2.0},
        {"p50_s": 0.0},
        {"slow": -0.1},
        {"slow": 0.6, "hangs": 0.4},
        {"hangs": 0.2},
        {"slow_from_s": 7.0},
    ],
    ids=str,
)
def test_what_no_body_can_make_true_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        FirstTokens(**wrong)  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, FirstTokens)
