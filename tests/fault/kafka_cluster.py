"""Kafkas for faults of the network and of brokers: one with a listener behind a proxy, and three that replicate."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from reco_stream.kafka_server import HOST, KafkaServer
from reco_stream.ports import free_ports

# A dead group member and a dead broker are noticed sooner than by default.
QUICK: Final = {"group.min.session.timeout.ms": "1000", "log.cleaner.backoff.ms": "500"}
MAP: Final = "listener.security.protocol.map"


class LinkedKafka(KafkaServer):
    """A Kafka with a second listener, LINK, that tells its clients to come back through `link_port`."""

    def __init__(self, data_dir: Path, link_port: int) -> None:
        super().__init__(data_dir, settings=QUICK, die_with_parent=True)
        self.behind_link = free_ports(1)[0]
        self._link_port = link_port

    def properties(self) -> dict[str, str]:
        lines = super().properties()
        lines[MAP] += ",LINK:PLAINTEXT"
        lines["listeners"] += f",LINK://{HOST}:{self.behind_link}"
        lines["advertised.listeners"] += f",LINK://{HOST}:{self._link_port}"
        return lines


class Node(KafkaServer):
    """One of several brokers that replicate; each is a controller too."""

    def __init__(self, data_dir: Path, number: int, controllers: list[int]) -> None:
        super().__init__(data_dir, settings=QUICK, die_with_parent=True)
        self.number = number
        self._controllers = controllers

    def properties(self) -> dict[str, str]:
        control = f"CONTROLLER://{HOST}:{self._controllers[self.number - 1]}"
        voters = (f"{number}@{HOST}:{port}" for number, port in enumerate(self._controllers, 1))
        copies = ("offsets.topic", "transaction.state.log")
        return super().properties() | {
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"PLAINTEXT://{self.bootstrap},{control}",
            "transaction.state.log.min.isr": "2",
            **{f"{topic}.replication.factor": "3" for topic in copies},
        }


class ThreeBrokers:
    """Three brokers with three copies of everything, two of which must have a record before it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        controllers = free_ports(3)
        self.nodes = [Node(folder / f"broker-{number}", number, controllers) for number in (1, 2, 3)]

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def node(self, number: int) -> Node:
        """The broker with that node id."""
        return self.nodes[number - 1]

    def __enter__(self) -> ThreeBrokers:
        with ThreadPoolExecutor(3) as pool:  # at once: one alone waits for a majority of controllers
            list(pool.map(KafkaServer.start, self.nodes))
        return self

    def __exit__(self, *_: Any) -> None:
        for node in self.nodes:
            node.kill()
