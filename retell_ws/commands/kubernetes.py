"""`retell_ws kubernetes`: write what Kubernetes is told to run the servers and consumers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..deploy.kubernetes import manifests
from ..errors import UsageError
from ..rules import read as read_rules
from ..text_file import read_text

__all__ = ["kubernetes"]


def kubernetes(
    *,
    image: str,
    agent: str = "/agent/agent.py",
    namespace: str = "",
    host: str = "",
    tls_secret: str = "retell-ws-tls",  # noqa: S107  # its name
    ingress_class: str = "nginx",
    ingress_namespace: str = "ingress-nginx",
    monitoring_namespace: str = "monitoring",
    servers: int = 3,
    max_servers: int = 0,
    max_calls: int = 200,
    drain_s: int = 3600,
    redis_url_secret: str = "retell-ws/RETELL_WS_REDIS_URL",  # noqa: S107  # its name
    kafka: str = "",
    kafka_secret: str = "",
    archive: str = "",
    rules: Path | None = None,
    storage_class: str = "",
    keda: Annotated[bool, Parameter(negative="--no-keda")] = True,
    out: Path | None = None,
) -> int:
    """Write manifests for Kubernetes: servers that share their calls, what scales them, and with Kafka the consumers.

    Args:
        image: The image, made with retell_ws/deploy/Dockerfile; for Kafka with --build-arg EXTRAS=events.
        agent: What is served, as `serve` takes it, in the image.
        namespace: Where all of it goes; without it where kubectl is.
        host: The name Retell dials, for an Ingress with TLS; without it there is none.
        tls_secret: The Secret with the certificate of the host.
        ingress_class: Of the Ingress.
        ingress_namespace: The namespace of its controller: whence calls and webhooks may come.
        monitoring_namespace: The namespace of Prometheus.
        servers: How many servers there are at least.
        max_servers: How many at most; by default four times as many.
        max_calls: Calls a server takes at once; more servers come at three fifths of it.
        drain_s: Seconds for which a server that leaves keeps its calls; what is left then goes to other servers.
        redis_url_secret: SECRET/KEY with the URL of Redis.
        kafka: HOST:PORT of Kafka's brokers, with commas: the blueprint is `events` then, otherwise `distributed`.
        kafka_secret: The Secret with TLS and SASL of Kafka, as `kafka.properties`, and in KEDA's words.
        archive: s3://BUCKET/PREFIX for transcripts and figures; by default they are on a volume.
        rules: The file of escalation rules; without it there is no escalation.
        storage_class: The class of the volumes; by default the cluster's.
        keda: Have KEDA say how many consumers there are, by how far they are behind.
        out: The folder to write the files into; without it all goes to stdout, for `kubectl apply -f -`.
    """
    written = manifests(
        image,
        agent=agent,
        namespace=namespace,
        host=host,
        tls_secret=tls_secret,
        ingress_class=ingress_class,
        ingress_namespace=ingress_namespace,
        monitoring_namespace=monitoring_namespace,
        servers=servers,
        max_servers=max_servers,
        max_calls=max_calls,
        drain_s=drain_s,
        redis_url_secret=redis_url_secret,
        kafka=kafka,
        kafka_secret=kafka_secret,
        archive=archive,
        rules="" if rules is None else _read(rules),
        storage_class=storage_class,
        keda=keda,
    )
    if out is None:
        sys.stdout.write("---\n".join(written.values()))
        return 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (out / name).write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {exc.filename or out}: {exc.strerror}") from None
    return 0


def _read(file: Path) -> str:
    text = read_text(file)
    read_rules(text, str(file))  # what is wrong should be said now, and not in a pod that starts again and again
    return text
