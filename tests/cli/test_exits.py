import pytest
import typer
from aiokafka.errors import KafkaConnectionError

from reco_stream.cli.exits import readable_errors
from reco_stream.setting_checks import Problem
from reco_stream.settings_loader import SettingsError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SettingsError([Problem("RECO_APP", "''", "a name")]), 78, "RECO_APP is ''; wanted: a name"),
        (KafkaConnectionError("refused"), 69, "Kafka at k:9092 does not answer: KafkaConnectionError: refused."),
        (TimeoutError(), 69, "Kafka at k:9092 does not answer: TimeoutError."),
    ],
)
def test_an_expected_error_is_a_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, words: str
) -> None:
    with pytest.raises(typer.Exit) as caught, readable_errors("k:9092"):
        raise error
    assert caught.value.exit_code == code
    assert words in capsys.readouterr().err


def test_an_unexpected_error_passes() -> None:
    with pytest.raises(ZeroDivisionError), readable_errors():
        raise ZeroDivisionError
