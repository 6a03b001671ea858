"""Which Kafka the demo uses: the one of RECO_BROKER, else Docker's, else a local one from jars."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from reco_stream.demo import DemoError
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_jars import KafkaJarsError, MissingPrerequisite, jars_are_here
from reco_stream.kafka_server import KafkaServer, KafkaServerError
from reco_stream.ports import free_ports, is_port_free
from reco_stream.settings import Settings
from reco_stream.topics import topic_specs

COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
COMPOSE_PROJECT = "reco-demo"
DOCKER_ANSWERS_WITHIN_S = 10
DOCKER_STARTS_WITHIN_S = 300  # the image is downloaded once
USUAL_PORT = 9092


@dataclass(frozen=True)
class Broker:
    """A Kafka that can be used now. `stop` ends it when the demo started it; `keeps_data` says that topics stay."""

    address: str
    description: str
    stop: Callable[[], None]
    keeps_data: bool


def choose_broker(folder: Path, say: Callable[[str], None]) -> Broker:
    """Returns a Kafka that takes requests. `folder` is for a local one's data; `say` is told what takes a while.

    Raises DemoError with one line that says what to install when there is no way to get one.
    """
    given = os.environ.get("RECO_BROKER")
    if given:
        return Broker(given, "from RECO_BROKER", _nothing, keeps_data=True)
    if COMPOSE_FILE.exists() and docker_answers():
        return _docker(say)
    return _local(folder, say)


async def delete_topics(settings: Settings) -> None:
    """Deletes every topic of the application; one that is missing is no error. Raises KafkaError without Kafka."""
    admin = AIOKafkaAdminClient(**client_kwargs(settings))
    try:
        await admin.start()
        await admin.delete_topics([spec.name for spec in topic_specs(settings)])
    finally:
        await admin.close()


def docker_answers() -> bool:
    """True when a Docker daemon answers and has compose."""
    if shutil.which("docker") is None:
        return False
    return all(_succeeds(["docker", *words]) for words in (["info"], ["compose", "version"]))


def _docker(say: Callable[[str], None]) -> Broker:
    port = USUAL_PORT if is_port_free(USUAL_PORT) else free_ports(1)[0]
    compose = ["docker", "compose", "-p", COMPOSE_PROJECT, "-f", str(COMPOSE_FILE)]
    environment = os.environ | {"KAFKA_PORT": str(port)}

    def stop() -> None:
        subprocess.run([*compose, "down", "--volumes"], env=environment, capture_output=True, check=False)

    say("Starting Kafka in Docker (the image is downloaded once)")
    try:
        done = subprocess.run(
            [*compose, "up", "--detach", "--wait", "kafka"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOCKER_STARTS_WITHIN_S,
            check=False,
        )
    except BaseException as interrupted:
        stop()
        if isinstance(interrupted, subprocess.TimeoutExpired):
            raise DemoError(f"Docker did not start Kafka within {DOCKER_STARTS_WITHIN_S} s") from None
        raise
    if done.returncode != 0:
        stop()
        raise DemoError(f"docker compose ended with code {done.returncode}:\n{done.stderr.strip()[-1500:]}")
    return Broker(f"127.0.0.1:{port}", "in Docker", stop, keeps_data=False)


def _local(folder: Path, say: Callable[[str], None]) -> Broker:
    server = KafkaServer(folder, USUAL_PORT if is_port_free(USUAL_PORT) else 0, die_with_parent=True)
    say("Starting Kafka on this machine" if jars_are_here() else "Downloading Kafka (43 MB, once) and starting it")
    try:
        server.start()
    except MissingPrerequisite as missing:
        raise DemoError(f"{missing}; or start Docker, or set RECO_BROKER to a Kafka that you have") from None
    except (KafkaJarsError, KafkaServerError) as error:
        raise DemoError(str(error)) from None
    except BaseException:
        server.kill()
        raise
    return Broker(
        server.bootstrap, f"on this machine, log {folder / server.log_file.name}", server.stop, keeps_data=False
    )


def _succeeds(command: list[str]) -> bool:
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DOCKER_ANSWERS_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def _nothing() -> None:
    """A Kafka that was there before stays."""
