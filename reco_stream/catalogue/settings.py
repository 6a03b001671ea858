"""Settings of the catalogue: the database, who may write, rules, content and the archive."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr
from pydantic_settings import BaseSettings

from reco_stream import setting_values as values


def check_database_url(url: SecretStr | None) -> SecretStr | None:
    """Return `url`; raise ValueError unless it is None or a PostgreSQL URL."""
    if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("postgresql://user:password@host:port/database")
    return url


class CatalogueSettings(BaseSettings):
    """The part of `Settings` that the catalogue needs."""

    database_url: Annotated[SecretStr | None, AfterValidator(check_database_url)] = Field(
        default=None, description="PostgreSQL of the catalogue; not set: the items topic is all there is."
    )
    database_pool: int = Field(default=8, ge=2, le=100, description="Connections of a worker to PostgreSQL at most.")
    database_timeout_s: Annotated[float, BeforeValidator(values.duration("s"))] = Field(
        default=5, ge=0.1, le=600, description="After so long PostgreSQL gives up a statement."
    )
    admin_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Bearer token for writes to /items and for /admin; needed to listen beyond the loopback.",
    )
    catalogue_only: bool = Field(
        default=False, description="Recommend only items of the catalogue, not those that are known from events alone."
    )
    scenarios: FilePath | None = Field(
        default=None, description="JSON file of named rules, read again when it changes; see docs/catalogue.md."
    )
    content: Literal["off", "hashed", "minilm"] = Field(
        default="hashed",
        description="How the texts of items become vectors: off, by n-grams of the catalogue itself, or by "
        "sentence-transformers/all-MiniLM-L6-v2, which must be installed.",
    )
    archive_dir: Path = Field(default=Path(".reco/archive"), description="Folder of the archive's Parquet files.")
    archive_flush_s: Annotated[float, BeforeValidator(values.duration("s"))] = Field(
        default=30, ge=0.1, le=3600, description="Longest time that an event waits for a Parquet file."
    )
