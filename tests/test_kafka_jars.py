"""Kafka's jars and the programs that they need."""

import threading
from pathlib import Path

import pytest

from reco_stream.kafka_jars import (
    KafkaJarsError,
    MissingPrerequisite,
    cache_folder,
    deploy_folder,
    find_java,
    find_maven,
    jars_are_here,
    java_version,
    kafka_jars,
)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, without JAVA_HOME."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


@pytest.mark.parametrize(
    ("banner", "version"),
    [('openjdk version "17.0.15"', 17), ('java version "1.8.0_402"', 8), ('openjdk version "21"', 21), ("none", None)],
)
def test_java_version(banner: str, version: int | None) -> None:
    assert java_version(banner) == version


def test_missing_programs_are_one_line_that_says_what_to_install(only_path: Path) -> None:
    for find in (find_java, find_maven):
        with pytest.raises(MissingPrerequisite) as failed:
            find()
        assert "install" in str(failed.value)
        assert "\n" not in str(failed.value)


def test_an_old_java_is_refused_with_its_version(only_path: Path) -> None:
    program(only_path, "java", """echo 'openjdk version "11.0.2"' >&2""")
    with pytest.raises(MissingPrerequisite, match=r"java is version 11: install Java 17"):
        find_java()


def test_java_home_comes_first(only_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(only_path, "java", """echo 'openjdk version "11.0.2"' >&2""")
    (tmp_path / "jdk").mkdir()
    program(tmp_path / "jdk" / "bin", "java", """echo 'openjdk version "21.0.1"' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java() == str(tmp_path / "jdk" / "bin" / "java")


def test_the_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RECO_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "reco-stream"


def test_the_source_tree_holds_what_maven_reads() -> None:
    assert {"pom.xml", "log4j2.properties"} <= {file.name for file in deploy_folder().iterdir()}


def test_jars_are_copied_once_though_several_ask(only_path: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    copy = 'for word; do case $word in -DoutputDirectory=*) target=${word#*=};; esac; done; /bin/mkdir -p "$target"'
    program(only_path, "mvn", f'echo run >> {runs}\n{copy}\necho jar > "$target/kafka.jar"')
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(kafka_jars(tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jars_are_here(tmp_path / "cache")
    assert len(found) == 4
    assert len(set(found)) == 1
    assert (found[0] / "kafka.jar").exists()
    assert runs.read_text() == "run\n"


def test_a_failed_download_leaves_nothing_behind(only_path: Path, tmp_path: Path) -> None:
    program(only_path, "mvn", "echo 'no network'; exit 1")
    with pytest.raises(KafkaJarsError, match=r"ended with code 1 on .*pom.xml:\nno network"):
        kafka_jars(tmp_path / "cache")
    assert not jars_are_here(tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["kafka.lock"]
