"""docker-compose.yml, checked where no Docker is: services, images, ports, and every setting that it names."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from reco_stream.demo.broker import COMPOSE_FILE
from reco_stream.kafka_server import FIXED_SETTINGS
from reco_stream.settings_loader import load_settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN_KEYS = {
    "build",
    "image",
    "command",
    "restart",
    "stop_grace_period",
    "depends_on",
    "healthcheck",
    "ports",
    "environment",
    "volumes",
    "profiles",
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
RECO_SERVICES = ("topics", "worker-1", "worker-2")
WORKERS = ("worker-1", "worker-2")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as compose sees it with an empty environment: `${NAME:-default}` replaced."""
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", (ROOT / "docker-compose.yml").read_text())
    assert "$" not in text
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_the_demo_uses_this_file() -> None:
    assert COMPOSE_FILE == ROOT / "docker-compose.yml"


def test_services_and_their_keys_are_known(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    assert set(compose) == {"x-worker", "services", "volumes"}
    assert set(services) == {"kafka", "topics", "worker-1", "worker-2", "postgres"}
    for name, service in services.items():
        assert set(service) <= KNOWN_KEYS, name


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert images["kafka"] == "apache/kafka:4.1.0"
    for image in images.values():
        assert re.fullmatch(r"[a-z][a-z/-]*:\d+(\.\d+)+", image)


def test_the_image_and_the_jars_are_the_same_kafka(services: dict[str, dict[str, Any]]) -> None:
    version = services["kafka"]["image"].partition(":")[2]
    assert f"<kafka.version>{version}</kafka.version>" in (ROOT / "deploy" / "kafka" / "pom.xml").read_text()


def test_own_images_are_of_this_version_and_built_here(services: dict[str, dict[str, Any]]) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for name in RECO_SERVICES:
        assert services[name]["image"] == f"reco-stream:{version[1]}"
        assert services[name]["build"] == "."


def test_ports_are_published_on_this_machine_only_and_differ(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert sorted(port.split(":")[1] for port in published) == ["5432", "6066", "6067", "9092"]


@pytest.mark.parametrize("name", RECO_SERVICES)
def test_every_setting_exists_and_is_valid(
    services: dict[str, dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """load_settings refuses a RECO_ name that it does not know."""
    for variable in [variable for variable in os.environ if variable.startswith("RECO_")]:
        monkeypatch.delenv(variable)
    for variable, value in services[name]["environment"].items():
        assert variable.startswith("RECO_")
        monkeypatch.setenv(variable, value)
    assert load_settings().broker == "kafka:19092"


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_reached_by_others_and_keeps_its_state(services: dict[str, dict[str, Any]], name: str) -> None:
    worker = services[name]
    port = worker["ports"][0].split(":")[2]
    assert worker["environment"]["RECO_ADVERTISED_URL"] == f"http://{name}:{port}"
    assert worker["environment"]["RECO_WEB_HOST"] == "0.0.0.0"
    assert worker["volumes"] == [f"{name}-data:{worker['environment']['RECO_DATA_DIR']}"]
    assert worker["command"] == ["worker"]
    assert f":{port}/readyz" in str(worker["healthcheck"]["test"])


def test_dependencies_can_be_met(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] in CONDITIONS
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            if wanted["condition"] == "service_completed_successfully":
                assert services[name]["restart"] == "no"


def test_volumes_are_declared_and_used(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    used = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert used == set(compose["volumes"])


def test_kafka_behaves_like_the_local_one(services: dict[str, dict[str, Any]]) -> None:
    environment = services["kafka"]["environment"]
    same = ("process.roles", "auto.create.topics.enable", "group.initial.rebalance.delay.ms", "node.id")
    for name in (*same, "offsets.topic.replication.factor", "transaction.state.log.min.isr"):
        assert environment["KAFKA_" + name.upper().replace(".", "_")] == FIXED_SETTINGS[name]


def test_every_listener_of_kafka_has_a_protocol_and_is_advertised(services: dict[str, dict[str, Any]]) -> None:
    environment = services["kafka"]["environment"]
    listeners = {entry.partition(":")[0] for entry in environment["KAFKA_LISTENERS"].split(",")}
    protocols = dict(entry.split(":") for entry in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    advertised = dict(entry.split("://") for entry in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert set(protocols) == listeners
    assert set(advertised) == listeners - {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert advertised["OUTSIDE"] == services["kafka"]["ports"][0].rpartition(":")[0]
    assert {advertised["INSIDE"]} == {services[name]["environment"]["RECO_BROKER"] for name in RECO_SERVICES}


def test_postgresql_waits_for_its_profile(services: dict[str, dict[str, Any]]) -> None:
    assert services["postgres"]["profiles"] == ["catalogue"]
    assert all("profiles" not in service for name, service in services.items() if name != "postgres")
