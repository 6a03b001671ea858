"""Apache Kafka's jars, copied once by Maven into a cache folder."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

MIN_JAVA = 17  # Kafka 4.x brokers refuse to run on less
MAVEN_TIMEOUT_S = 600


class MissingPrerequisite(Exception):
    """A program that the local Kafka needs is not installed. The message is one line that says what to install."""


class KafkaJarsError(Exception):
    """Maven could not copy the jars. The message holds the end of its output."""


def deploy_folder() -> Path:
    """The folder with `pom.xml` and `log4j2.properties`: of the source tree, or of the installed package."""
    here = Path(__file__).resolve().parent
    in_source_tree = here.parent / "deploy" / "kafka"
    return in_source_tree if in_source_tree.is_dir() else here / "deploy_kafka"


def cache_folder() -> Path:
    """Where downloads are kept: RECO_CACHE_DIR, else `~/.cache/reco-stream`."""
    return Path(os.environ.get("RECO_CACHE_DIR") or Path.home() / ".cache" / "reco-stream")


def java_version(banner: str) -> int | None:
    """The major version that `java -version` prints, None when it is not understood.

    >>> java_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> java_version('java version "1.8.0_402"')
    8
    """
    found = re.search(r'version "(?:1\.)?(\d+)', banner)
    return int(found.group(1)) if found else None


def find_java() -> str:
    """Path of a `java` new enough for Kafka 4: JAVA_HOME's, else the one on PATH. Raises MissingPrerequisite."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin"))) if home else None
    java = java or shutil.which("java")
    advice = f"install Java {MIN_JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless)"
    if java is None:
        raise MissingPrerequisite(f"java was not found: {advice}")
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = java_version(banner)
    if version is None or version < MIN_JAVA:
        raise MissingPrerequisite(f"{java} is version {version or 'unknown'}: {advice}")
    return java


def find_maven() -> str:
    """Path of `mvn`. Raises MissingPrerequisite."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingPrerequisite("mvn was not found: install Maven 3.6 or newer (Debian: apt-get install maven)")
    return maven


def kafka_jars(cache: Path | None = None) -> Path:
    """Folder with Kafka's jars, complete: downloaded on the first call (43 MB), found on every later one.

    The folder's name holds a hash of `pom.xml`. Several processes may call at once: one downloads, the rest wait.
    Raises MissingPrerequisite without Maven and KafkaJarsError when Maven fails.
    """
    libs = _libs(cache)
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    with (libs.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not libs.is_dir():
            _copy_jars(deploy_folder() / "pom.xml", libs)
    return libs


def jars_are_here(cache: Path | None = None) -> bool:
    """True when `kafka_jars` has nothing to download."""
    return _libs(cache).is_dir()


def _libs(cache: Path | None) -> Path:
    pom = deploy_folder() / "pom.xml"
    return (cache or cache_folder()) / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"


def _copy_jars(pom: Path, libs: Path) -> None:
    maven = find_maven()
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix="kafka-part-") as part:
        target = Path(part) / "libs"
        goal = "dependency:copy-dependencies"
        command = [maven, "-q", "-B", "-f", str(pom), goal, "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0 or not target.is_dir():
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise KafkaJarsError(f"{maven} ended with code {done.returncode} on {pom}:\n{tail}")
        target.rename(libs)  # atomic: the folder is there complete or not at all
