"""A real Apache Kafka on this machine without Docker: one process, broker and controller in one (KRaft)."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from reco_stream.kafka_jars import deploy_folder, find_java, kafka_jars
from reco_stream.ports import free_ports
from reco_stream.processes import POLL_S, command_line, end, kill_with_me, release, tail

HOST = "127.0.0.1"
CLUSTER_ID = "cmVjby1zdHJlYW0tbG9jYQ"  # 16 bytes in URL-safe base64, as Kafka wants its cluster ids
READY_LINE = "Kafka Server started"  # logged once the broker is unfenced and takes requests
SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")

# Small internal topics (Kafka's default is 50 partitions each) make start and shutdown faster on one node.
FIXED_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    # After a kill -9 the controller refuses the broker until its old session ends: 13 s with the default 9 s.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}


class KafkaServerError(Exception):
    """The local Kafka could not be started or formatted. The message holds the last lines of its log."""


class KafkaServer:
    """One local Kafka that keeps its data over stop, kill and start, and writes nowhere outside `data_dir`.

    `port`: the PLAINTEXT port, 0 = a free one. `users` (name -> password) opens a second listener, SASL_PLAINTEXT on
    `sasl_port`, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; SCRAM users are stored when `data_dir` is first formatted
    and cannot change after. `settings` adds to or replaces lines of `server.properties`. With `die_with_parent`
    the server is killed when the process that started it ends in whatever way: a killed test run leaves none behind.

    Usable as a context manager. All methods block; call them outside an event loop.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        users: Mapping[str, str] | None = None,
        sasl_port: int = 0,
        settings: Mapping[str, str] | None = None,
        heap: str = "512m",
        cache: Path | None = None,
        die_with_parent: bool = False,
    ) -> None:
        self.data_dir = data_dir.resolve()
        free = free_ports(3)
        self.port = port or free[0]
        self.users = dict(users or {})
        self.sasl_port = sasl_port or free[1]
        self._controller_port = free[2]
        self._settings = dict(settings or {})
        self._heap = heap
        self._cache = cache
        self._die_with_parent = die_with_parent
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` of the PLAINTEXT listener."""
        return f"{HOST}:{self.port}"

    @property
    def sasl_bootstrap(self) -> str:
        """`host:port` of the SASL_PLAINTEXT listener; there is one only when `users` were given."""
        return f"{HOST}:{self.sasl_port}"

    @property
    def log_file(self) -> Path:
        """What the server printed since it was last started."""
        return self.data_dir / "kafka.log"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when it does not run."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        return running_pid(self.data_dir)

    @property
    def alive(self) -> bool:
        """True while the server process runs, also when another process started it on this `data_dir`."""
        return self.pid is not None

    def start(self, timeout_s: float = 90) -> None:
        """Returns when the server takes requests. Does nothing when it runs already.

        Raises MissingPrerequisite without Java or Maven, KafkaServerError when it ends or is not ready in `timeout_s`.
        """
        if self.alive:
            return
        java = find_java()
        classpath = f"{kafka_jars(self._cache)}/*"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self.properties().items()))
        self._format(java, classpath, properties)
        logging = f"-Dlog4j2.configurationFile={deploy_folder() / 'log4j2.properties'}"
        command = [java, f"-Xmx{self._heap}", "-XX:+UseSerialGC", logging, "-cp", classpath]
        command += ["kafka.Kafka", str(properties)]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C on the terminal is for the program that uses Kafka
            )
        if self._die_with_parent:
            self._guard = kill_with_me(self._process.pid)
        state = {"pid": self._process.pid, "bootstrap": self.bootstrap}
        (self.data_dir / "running.json").write_text(json.dumps(state))
        self._wait_until_ready(timeout_s)

    def stop(self, timeout_s: float = 30) -> None:
        """Ends the server in an orderly way (SIGTERM), by SIGKILL when it takes longer than `timeout_s`."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """Ends the server at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL, 10)

    def __enter__(self) -> "KafkaServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def properties(self) -> dict[str, str]:
        """The lines of `server.properties`."""
        plain, control = f"PLAINTEXT://{self.bootstrap}", f"CONTROLLER://{HOST}:{self._controller_port}"
        sasl = f",SASL_PLAINTEXT://{self.sasl_bootstrap}" if self.users else ""
        lines = {
            **FIXED_SETTINGS,
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": f"{plain},{control}{sasl}",
            "advertised.listeners": f"{plain}{sasl}",
            "log.dirs": str(self.data_dir / "data"),
        }
        if self.users:
            lines |= _sasl_properties(self.users)
        return lines | self._settings

    def _format(self, java: str, classpath: str, properties: Path) -> None:
        """Step once per data folder: writes the cluster id and the SCRAM users."""
        if (self.data_dir / "data" / "meta.properties").exists():
            return
        command = [java, "-XX:TieredStopAtLevel=1", "-cp", classpath, "kafka.tools.StorageTool", "format"]
        command += ["-t", CLUSTER_ID, "-c", str(properties)]
        for name, password in self.users.items():
            for mechanism in SCRAM_MECHANISMS:
                command += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KafkaServerError(f"formatting {self.data_dir} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            # Asked before reading: a process that ends has then written all that it ever will.
            ended = not self.alive
            if READY_LINE in self.log_file.read_text(errors="replace"):
                return
            if ended:
                self.kill()
                raise KafkaServerError(f"Kafka ended while starting:\n{tail(self.log_file)}")
            time.sleep(POLL_S)
        self.kill()
        raise KafkaServerError(f"Kafka on {self.bootstrap} was not ready after {timeout_s:g} s:\n{tail(self.log_file)}")

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        pid = self.pid
        if pid is not None:
            end(pid, how, timeout_s)
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._guard is not None:
            release(self._guard)
            self._guard = None
        (self.data_dir / "running.json").unlink(missing_ok=True)


def running_pid(data_dir: Path) -> int | None:
    """Process id of the server that runs on `data_dir`, whoever started it; None when none does.

    A process id in a file may by now belong to something else, so the command line of the process must name the folder.
    """
    try:
        pid = int(json.loads((data_dir / "running.json").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None
    return pid if str(data_dir.resolve() / "server.properties") in command_line(pid) else None


def running_bootstrap(data_dir: Path) -> str | None:
    """`host:port` of the server that runs on `data_dir`, None when none does."""
    if running_pid(data_dir) is None:
        return None
    return str(json.loads((data_dir / "running.json").read_text())["bootstrap"])


def _sasl_properties(users: Mapping[str, str]) -> dict[str, str]:
    for name, password in users.items():
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not re.fullmatch(r"[A-Za-z0-9._-]+", password):
            raise ValueError(f"Kafka user {name!r}: name and password must be of letters, digits, '.', '_' and '-'")
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    prefix = "listener.name.sasl_plaintext"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        "sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM_MECHANISMS)),
        f"{prefix}.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};"
        ),
        **{f"{prefix}.{mechanism.lower()}.sasl.jaas.config": scram for mechanism in SCRAM_MECHANISMS},
    }
