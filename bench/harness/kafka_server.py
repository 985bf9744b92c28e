"""How a bench runs Kafka: the genuine broker in a process of its own, on ports and in a folder of the bench's.

The jars are those that `scripts/kafka jars` fetches into `.kafka/libs`. One node is broker and controller at once, and
keeps what it was told when it is killed and started again.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from bench.harness.faults.processes import Process
from bench.harness.processes import ROOT, NotReady, pinned_to

__all__ = ["LIBS", "KafkaServer", "properties"]

LIBS: Final = ROOT / ".kafka" / "libs"
"""Where the jars lie."""

CLUSTER: Final = "MkU3OEVBNTcwNTJENDM2Qk"
"""An id for the cluster, as any other."""

HEAP: Final = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Small, and quick to start: it shares two cores with what is measured."""

FORMAT_S: Final = 60.0


def properties(port: int, controller_port: int, data: Path) -> str:
    """Write the configuration of a single node: nothing is copied, because there is nobody to copy it to.

    Args:
        port: Of the clients.
        controller_port: Of the controller.
        data: Folder of its log.
    """
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        # A broker that was killed comes back when the controller has given up the one that was: nine seconds, usually.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


class KafkaServer(Process):
    """A broker. Killed or stopped, it can be started again with all it had.

    Args:
        folder: For its log, its configuration and its data.
        port: Where clients find it.
        controller_port: Where it finds itself.
        core: The core it may run on; by default any.

    Raises:
        NotReady: There is no Java, or nobody has fetched the jars.
    """

    def __init__(self, folder: Path, *, port: int, controller_port: int, core: int | None = None) -> None:
        java = shutil.which("java")
        if java is None:
            raise NotReady("Kafka needs Java 17: Debian's package openjdk-17-jre-headless")
        if not any(LIBS.glob("kafka_*.jar")):
            raise NotReady("Kafka's jars are not there: scripts/kafka jars fetches them")
        self.port = port
        self.data = folder / "kafka"
        self._core = core
        self._config = folder / "kafka.properties"
        self._config.write_text(properties(port, controller_port, self.data))
        self._java = [java, "-cp", f"{LIBS}/*"]
        argv = [java, *HEAP, "-cp", f"{LIBS}/*", "kafka.Kafka", str(self._config)]
        super().__init__("kafka", argv, folder / "kafka.log")

    @property
    def bootstrap(self) -> str:
        """What clients are given."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, with a fresh log the first time, and wait until it answers.

        Raises:
            NotReady: It does not come up.
        """
        if not (self.data / "meta.properties").exists():
            await asyncio.to_thread(self._format)
        with nullcontext() if self._core is None else pinned_to(self._core):
            await super().start()

    def _format(self) -> None:
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self._config)]
        made = subprocess.run(
            [*self._java, *tool],
            capture_output=True,
            text=True,
            timeout=FORMAT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if made.returncode:
            raise NotReady(f"Kafka's log cannot be made: {(made.stderr or made.stdout)[-500:]}")

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        # It is asked anew each time: a client that was refused waits longer and longer before it tries again.
        while True:
            admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 2000})
            try:
                await asyncio.to_thread(admin.list_topics, timeout=1.0)
            except KafkaException:
                if child.returncode is not None:
                    raise NotReady(f"Kafka ended with {child.returncode}: {self.said()}") from None
            else:
                return
