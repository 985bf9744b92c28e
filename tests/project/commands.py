"""How each command of the README is run, and what must be seen.

A command of a `console` block that does not stand here fails the test, with its line. To add one, put it below its
heading, as the README has it, without prompt and comment, the lines of a longer one joined by a blank:

    "scripts/run report": ends("first sentence"),     it comes to its end, with status 0, and says this
    "scripts/run consume": stays('"ready"'),          it goes on until the heading's end; it is ready when it says this

What it says is a regular expression. Both also take `types` (its standard input), `writes` (a file that is there then),
`again` (what it says comes only after some seconds), `caller` (somebody who has to be on the line), `limit_s` (seconds
it may take), and `instead`, with `why`: what is run in place of the README's words. Ports are moved to free ones
(`sandbox.py`), `call_4f1c...` is the call that was shown last. Docker and kubectl are stand-ins (`stand_ins/`): neither
can run here, and they check what they are given. A program of the reader's own goes to `FILES`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "FILES", "How"]


class How(NamedTuple):
    """How a command is run."""

    shows: str
    goes_on: bool = False
    types: str = ""
    writes: str = ""
    again: bool = False
    caller: str = ""
    limit_s: float = 60.0
    instead: str = ""
    why: str = ""


def ends(shows: str = "", **more: str | bool | float) -> How:
    """It comes to its end, and shows this, a regular expression."""
    return How(shows, **more)  # type: ignore[arg-type]


def stays(shows: str = '"ready":true', **more: str | bool) -> How:
    """It goes on; it is ready when it shows this."""
    return How(shows, goes_on=True, **more)  # type: ignore[arg-type]


ASKED = "Book Monday. My name is Bo.\nI want to cancel appointment seven.\n"
CHAT = ends(r"agent: .*\n[^$]*first sentence", types="What are your hours?\n")
HERE = "the default port may be taken"

COMMANDS: dict[str, dict[str, How]] = {
    "Two commands": {
        "scripts/run": stays('"blueprint":"single","model":"scripted"'),
        "scripts/test": ends(instead="bash -n scripts/test", why="it runs this test"),
        "scripts/run chat": CHAT._replace(instead="scripts/run chat ws://127.0.0.1:8080/llm-websocket", why=HERE),
    },
    "An agent": {
        ".venv/bin/python -m retell_ws.testing.fake_anthropic --port 9000": stays('"ready":true'),
        "ANTHROPIC_API_KEY=any scripts/run agent.py --model-url http://127.0.0.1:9000": stays('"model":"anthropic"'),
    },
    "Answers from the cache": {
        "retell_ws answers warm openings.txt agent.py --out ANSWERS.json": ends("hours", writes="ANSWERS.json"),
        "retell_ws serve agent.py --answers-file ANSWERS.json": stays(),
    },
    "Register it with Retell": {
        "retell_ws register --url wss://your-host/llm-websocket --create --voice retell-Cimo --check --publish": ends(
            "wss://",
            instead="retell_ws register --url wss://your-host/llm-websocket --create --voice retell-Cimo --help",
            why="nobody is at your-host, and there is no account: what it does is tried below",
        ),
        ".venv/bin/python -m retell_ws.testing.fake_retell_api --port 9100": stays(),
        "export RETELL_API_KEY=any RETELL_WS_RETELL_URL=http://127.0.0.1:9100": ends(),
        "scripts/run register --url wss://your-host/llm-websocket --create --voice cimo": ends(
            "agent_",
            instead="scripts/run register --url wss://your-host/llm-websocket --create --voice cimo --yes",
            why="at a terminal it asks",
        ),
        "scripts/run calls": ends("call_"),
    },
    "Prove a set-up": {
        "scripts/run --version": ends(r"\d"),
        'redis-server --port 6379 --save "" &': stays("Ready to accept connections"),
        "scripts/kafka start": ends(r"127\.0\.0\.1:\d+", instead="scripts/kafka start --port 9092", why=HERE),
        "scripts/run serve --blueprint events --redis-url redis://127.0.0.1:6379 "
        "--kafka-bootstrap 127.0.0.1:9092 &": stays('"facts":"kafka"'),
        "scripts/run consume analytics archive --kafka-bootstrap 127.0.0.1:9092 &": stays(),
        "scripts/run blueprint validate --blueprint events --redis-url redis://127.0.0.1:6379 "
        "--kafka-bootstrap 127.0.0.1:9092 --report report.html": ends(
            "All that could be checked works",
            writes="report.html",
            limit_s=240.0,
            instead="RETELL_WS_DRAIN_S=60 scripts/run blueprint validate --blueprint events --report report.html "
            "--redis-url redis://127.0.0.1:6379 --kafka-bootstrap 127.0.0.1:9092",
            why="a server of these tests has no time to drain, which is worth a warning",
        ),
    },
    "How it is doing": {
        "retell_ws monitoring alerts --out alerts.yaml": ends(writes="alerts.yaml"),
        "retell_ws monitoring dashboard --out dashboard.json": ends(writes="dashboard.json"),
        "scripts/run serve agent.py --http-port 8081 &": stays('"http":"http://'),
        "curl -s http://127.0.0.1:8081/metrics | grep first_sentence": ends("retell_ws_first_sentence_seconds"),
    },
    "Choose a blueprint, and move to the next": {
        "retell_ws blueprint recommend --calls 50 --p95-ms 500 --needs failover": ends("distributed"),
        **{
            command: ends(instead=":", why="tests/commands/test_migration.py types it, with people on the line")
            for command in (
                "retell_ws blueprint apply single --into /opt/agent",
                "retell_ws blueprint apply distributed --into /opt/agent --yes",
                "PATH=$PATH:/usr/sbin",
                "[ -e /opt/agent/retell_ws.env ] || "
                "install -m 600 /opt/agent/retell_ws.env.example /opt/agent/retell_ws.env",
                "set -a; . /opt/agent/retell_ws.env; set +a",
                "retell_ws blueprint validate --only redis --config /opt/agent/retell_ws.toml",
                *(
                    "retell_ws serve /opt/agent/agent.py --config /opt/agent/retell_ws.toml "
                    f"--port {port} --http-port 1{port} &"
                    for port in (8082, 8083, 8084)
                ),
                *(
                    f"curl -fsS --retry 30 --retry-all-errors --retry-delay 1 http://127.0.0.1:{port}/readyz"
                    for port in (8082, 8083, 8084)
                ),
                "haproxy -c -f /opt/agent/haproxy.cfg && kill -USR2 $(cat /opt/agent/haproxy.pid)",
                "pkill -USR2 -f '[s]erve /opt/agent/agent.py --config /opt/agent/retell_ws.toml$'",
                "until curl -fsS http://127.0.0.1:18081/metrics | grep -q '^retell_ws_live_calls 0'; do sleep 2; done",
                "pkill -TERM -f '[s]erve /opt/agent/agent.py --config /opt/agent/retell_ws.toml$'; "
                "while pgrep -f '[s]erve /opt/agent/agent.py --config /opt/agent/retell_ws.toml$' >/dev/null; "
                "do sleep 0.2; done",
                "retell_ws blueprint apply distributed --into /opt/agent --leaving none --yes",
            )
        },
    },
    "A look at the calls": {
        "export RETELL_WS_ADMIN_TOKEN=$(openssl rand -hex 24)": ends(),
        "scripts/run serve agent.py --http-port 8081": stays('"http":"http://'),
    },
    "Several servers": {
        "export ANTHROPIC_API_KEY=... RETELL_WS_PATH_SECRET=$(openssl rand -hex 24)": ends(),
        "AGENT=$PWD/agent.py docker compose -f retell_ws/deploy/compose.yaml up --build --wait": ends(
            "started .*server3"
        ),
    },
    "One gateway for calls and webhooks": {
        "retell_ws proxy haproxy --server a:8080 --server b:8080 "
        "--http a:8081 --http b:8081 --tls /etc/ssl/both.pem": ends(r"ssl crt /etc/ssl/both\.pem"),
        "export COMPOSE_FILE=retell_ws/deploy/compose.yaml:retell_ws/deploy/compose.events.yaml "
        "AGENT=$PWD/agent.py": ends(),
        "docker compose up --build --wait": ends("started .*kafka"),
        "RULES=$PWD/rules.toml docker compose --profile escalation up --build --wait": ends("started .*escalation"),
    },
    "Kubernetes": {
        "docker build -t registry.example/agent:1 --build-arg EXTRAS=events -f retell_ws/deploy/Dockerfile .": ends(
            "built"
        ),
        "retell_ws kubernetes --image registry.example/agent:1 --namespace voice --host voice.example.com "
        "--kafka kafka:9092 --archive s3://bucket/calls --rules rules.toml --out manifests": ends(
            writes="manifests/10-config.yaml"
        ),
        "kubectl apply -f manifests/00-namespace.yaml": ends("Namespace/voice created"),
        "kubectl apply -f manifests": ends("StatefulSet/.* created"),
    },
    "Moving a call from outside": {
        "export RETELL_WS_ADMIN_TOKEN=$(openssl rand -hex 24)": ends(),
        "scripts/run serve agent.py --http-port 8081 &": stays('"http":"http://'),
        'auth="Authorization: Bearer $RETELL_WS_ADMIN_TOKEN" calls=http://127.0.0.1:8081/calls': ends(),
        'curl -s -H "$auth" $calls': ends(caller="call_1"),
        'curl -s -H "$auth" $calls/call_1/say -d \'{"text": "We close in five minutes."}\'': ends(),
        'curl -s -H "$auth" $calls/call_1/update -d \'{"responsiveness": 0.4, "reminder_trigger_ms": 20000}\'': ends(),
        'curl -s -H "$auth" $calls/call_1/transfer -d \'{"to": "sales"}\'': ends(),
        'curl -s -H "$auth" $calls/call_1/transfer -d \'{"to": "the nurse", "message": "One moment."}\'': ends(),
    },
    "What happened in the calls": {
        "scripts/run serve agent.py --blueprint events": stays('"facts":"journal"'),
        "scripts/run chat ws://127.0.0.1:8080/llm-websocket": CHAT._replace(types=ASKED),
        "scripts/run report": ends("[1-9] call", again=True, writes="retell_ws-report.html"),
        "scripts/run transcripts list": ends(r"call_\w+", again=True),
    },
    "Figures": {"scripts/run report --since 1d": ends()},
    "Transcripts": {
        'scripts/run transcripts list --since 1d --search "cancel appointment"': ends(r"call_\w+"),
        "scripts/run transcripts show call_4f1c...": ends("My name is Bo"),
        "scripts/run transcripts export --since 2026-11-01 --out november.parquet": ends(writes="november.parquet"),
        "scripts/run transcripts forget call_4f1c...": ends(),
    },
    "With Kafka": {
        "scripts/kafka start": ends(r"127\.0\.0\.1:\d+", instead="scripts/kafka start --port 9092", why=HERE),
        "retell_ws serve agent.py --blueprint events --redis-url redis://127.0.0.1:6379 "
        "--kafka-bootstrap 127.0.0.1:9092": stays('"facts":"kafka"'),
        "retell_ws consume analytics archive --kafka-bootstrap 127.0.0.1:9092": stays(),
        "retell_ws consume escalation --rules rules.toml --kafka-bootstrap 127.0.0.1:9092 "
        "--redis-url redis://127.0.0.1:6379": stays(),
    },
}
"""Each command by the heading it stands under."""

FILES = {
    "Answers from the cache": "from retell_ws import Agent\n"
    "agent = Agent('You are Ana.', greeting='Hello.', cache=True)\n",
}
"""The agent under a heading where that of the README will not do: it has tools."""
