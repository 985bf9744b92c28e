"""FakeRetellApi: Retell's REST API on this machine, as far as `register` and `calls` need it. Never asks Retell.

    python -m retell_ws.testing.fake_retell_api --port 9100

prints one JSON line, `{"ready": true, "url": "http://127.0.0.1:9100"}`, and runs until SIGTERM, or until its stdin
closes when that is a pipe. Any key is accepted unless `--key` names one. It has one agent of Retell's own kind, one
number, +14155550123, and some calls. What it does not know it refuses, as the real one does.

    POST /control   a JSON object of `fake_retell_server.Fault`'s fields: what the next requests get instead
    GET  /log       method, path and body of each request
"""

from __future__ import annotations

import argparse
import sys
import time

import orjson
import uvloop

from .fake_retell_agents import VOICES
from .fake_retell_calls import sample_calls
from .fake_retell_server import FakeRetellApi
from .lifetime import told_to_stop

__all__ = ["FakeRetellApi", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run until told to stop.

    Args:
        arguments: The command line's, without the program's name.
    """
    parser = argparse.ArgumentParser(prog="fake_retell_api", description="Retell's REST API on this machine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="", help="the only key that is accepted; without it any is")
    options = parser.parse_args(arguments)
    uvloop.run(_serve(options.host, options.port, options.key))


async def _serve(host: str, port: int, key: str) -> None:
    api = FakeRetellApi(host=host, port=port, key=key)
    engine = {"type": "retell-llm", "llm_id": "llm_sample"}
    made = api.agents.create(
        {"agent_name": "Retell's own", "voice_id": VOICES[0]["voice_id"], "response_engine": engine}
    )
    bound = [{"agent_id": made["agent_id"], "weight": 1}]
    api.agents.numbers["+14155550123"] = {"phone_number": "+14155550123", "inbound_agents": bound}
    api.calls = sample_calls(int(time.time() * 1000))
    try:
        async with api:
            with told_to_stop() as stop:
                sys.stdout.buffer.write(orjson.dumps({"ready": True, "url": api.url}) + b"\n")
                sys.stdout.flush()
                await stop.wait()
    except OSError as exc:
        sys.exit(f"fake_retell_api: cannot listen on {host}:{port}: {exc.strerror or exc}")


if __name__ == "__main__":
    main()
