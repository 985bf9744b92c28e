"""FakeAnthropic that keeps the body of every request it logs, not of the latest few. It plays nothing else.

`barge_in` matches thousands of logged requests with the callers' words. Other benches start FakeAnthropic itself,
which forgets bodies so that its log costs nothing.
"""

from __future__ import annotations

import gc

from retell_ws.testing import fake_anthropic, fake_anthropic_server

if __name__ == "__main__":
    # The constant is final for everybody else, hence by name.
    setattr(fake_anthropic_server, "MAX_ENTRIES_WITH_REQUEST", fake_anthropic_server.MAX_ENTRIES)  # noqa: B010
    # Thousands of remembered requests are nothing to collect; passes over them would delay the deltas.
    gc.set_threshold(100_000)
    fake_anthropic.main()
