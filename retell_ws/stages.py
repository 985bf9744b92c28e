"""Where the time of one turn goes: taken down as it passes, told once at its end. Pure: time is given."""

from __future__ import annotations

from typing import Literal

import msgspec

from .facts import TurnMeasured

__all__ = ["Stages"]


class Stages(msgspec.Struct):
    """The stages of one turn, in seconds of one steady clock; None for what has not come.

    Attributes:
        asked_at: Retell's request was read; of a speculation nobody knows it before it is adopted.
        begun_at: A speculation was begun.
        queued_s: How long the request had lain in the process.
        decoded_at: It was understood.
        prompt_at: The model's first request was built.
        connect_s: From there to its being written.
        first_token_at: The first text of the model came.
        frame_at: The first words were said.
        sentence_at: Its first sentence was said.
        held: Holding phrases said.
        rounds: How often the model was asked.
    """

    asked_at: float | None = None
    begun_at: float | None = None
    queued_s: float | None = None
    decoded_at: float | None = None
    prompt_at: float | None = None
    connect_s: float | None = None
    first_token_at: float | None = None
    frame_at: float | None = None
    sentence_at: float | None = None
    held: int = 0
    rounds: int = 0
    attempts: int = 0
    hedged: bool = False
    fallback: bool = False
    cached: bool = False
    cache_miss: str = ""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    stop_reason: str = ""

    def measured(
        self, response_id: int, outcome: Literal["finished", "failed", "superseded"], now: float, asked_at: float
    ) -> TurnMeasured:
        """Write the record.

        Args:
            response_id: The id that was answered last.
            outcome: How it ended.
            now: When.
            asked_at: When Retell asked for that id: later than the turn's own request, when it asked again.
        """

        def after(at: float | None) -> float | None:
            return None if at is None else max(0.0, at - asked_at)

        return TurnMeasured(
            response_id,
            outcome,
            adopted=self.begun_at is not None,
            head_start_s=0.0 if self.begun_at is None else max(0.0, (self.asked_at or asked_at) - self.begun_at),
            cached=self.cached,
            hedged=self.hedged,
            fallback=self.fallback,
            attempts=self.attempts,
            rounds=self.rounds,
            held=self.held,
            queued_s=self.queued_s,
            decoded_s=after(self.decoded_at),
            prompt_s=after(self.prompt_at),
            connect_s=self.connect_s,
            first_token_s=after(self.first_token_at),
            first_frame_s=after(self.frame_at),
            first_sentence_s=after(self.sentence_at),
            done_s=after(now),
            cache_miss=self.cache_miss,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            model=self.model,
            stop_reason=self.stop_reason,
        )
