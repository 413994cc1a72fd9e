"""One client's folder: settings, paths, credentials by reference.

Six kinds of things lie in it, with six rules for back-up, sharing and deletion: settings (`engagement.yaml`,
`mapping/`), raw data (`export/`, read-only), throw-away data (`work.duckdb`), precious data (`ledgers/`), evidence
(`runs/`) and deliverables (`reports/`). Folders are 0700, files that the library writes 0600.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dentlib.errors import GateClosed, UsageError

NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
KEY_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,99}|keyring:[A-Za-z0-9_./-]{1,99}")
"""What may stand for a key. A key itself doesn't fit, not even behind `env:`: it has dots, or is longer."""

REHEARSAL: Mapping[str, Any] = {
    "time_zone": "UTC",
    "currency": "USD",
    "phone_country": "US",
    "languages": ["en"],
    "fallback_owner": "admin@brightsmile.example",
}
"""Stand in for undecided settings on the built-in sandbox only; each use is announced. A real destination refuses."""


PLAN_CALLS_PER_MINUTE: Mapping[str, int] = {"pro": 100, "organization": 200, "self-hosted": 100}
"""Calls a minute that a plan allows. Self-hosted: what a server comes with; its administrator may have set another."""


class DestinationSettings(BaseModel):
    """Where the data goes. Without `url` the built-in sandbox is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: str
    url: str | None = None
    api_key: str | None = Field(default=None, description="env:NAME or keyring:SERVICE, never the key itself")
    plan: Literal["pro", "organization", "self-hosted"] | None = None
    calls_per_minute: int | None = Field(
        default=None, ge=0, le=100_000, description="goes before the plan; 0: nothing limits"
    )
    sandbox_limits: Literal["default", "off"] = "default"
    sandbox_version: Literal["2.21", "1.17"] = "2.21"

    @property
    def allowed_calls_per_minute(self) -> int | None:
        """Return the rate to keep to; None where nothing limits."""
        if self.url is None and self.sandbox_limits == "off":
            return None
        if self.calls_per_minute is not None:
            return self.calls_per_minute or None
        return PLAN_CALLS_PER_MINUTE[self.plan or "self-hosted"]

    @property
    def rate_from(self) -> str:
        """Say where the rate comes from."""
        if self.calls_per_minute is not None:
            return "as the settings say"
        if self.plan is not None:
            return f"the plan is {self.plan}"
        return "no plan is set: what a server comes with" if self.url else "as a server comes"

    @field_validator("api_key")
    @classmethod
    def _only_a_reference(cls, value: str | None) -> str | None:
        if value is not None and not KEY_REFERENCE.fullmatch(value):
            raise ValueError("must be a reference such as env:BRIGHTSMILE_TWENTY_KEY, never the key itself")
        return value

    @field_validator("url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", value):
            raise ValueError(
                "must be the bare http(s) address, such as https://crm.example.com, without login or query"
            )
        return value.rstrip("/") if value else value


class Settings(BaseModel):
    """`engagement.yaml`. What is None is undecided: none of it is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: str
    source: str
    destination: DestinationSettings
    time_zone: str | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    phone_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    languages: list[str] | None = None
    fallback_owner: str | None = None
    max_upload_mb: float | None = 10.0
    sample_rows: int = Field(default=200, ge=1, le=5000)
    past_before: str | None = Field(default=None, description="ISO date before which appointments are past")

    @field_validator("past_before")
    @classmethod
    def _a_date(cls, value: str | None) -> str | None:
        if value is not None:
            date.fromisoformat(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("is not a known time zone, e.g. America/Los_Angeles")
        return value

    def undecided(self) -> tuple[str, ...]:
        """Name the settings that still need a decision."""
        return tuple(name for name in REHEARSAL if getattr(self, name) is None)

    def decided(self) -> Settings:
        """Return settings without gaps: undecided ones stand in on the sandbox, and stop a real destination.

        Raises GateClosed naming what must be decided.
        """
        gaps = self.undecided()
        if gaps and self.destination.url is not None:
            flags = " ".join(f"--{name.replace('_', '-')} …" for name in gaps)
            raise GateClosed(f"undecided settings: {', '.join(gaps)}", f"dentlib configure NAME {flags}")
        return self.model_copy(update={name: REHEARSAL[name] for name in gaps})

    @property
    def zone(self) -> ZoneInfo:
        """Return the practice's time zone."""
        return ZoneInfo(self.time_zone or "UTC")


def home() -> Path:
    """Return the folder of all engagements: $DENTLIB_HOME, else ./engagements."""
    return Path(os.environ.get("DENTLIB_HOME", "engagements")).absolute()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    return yaml


class Engagement:
    """An open engagement: settings and paths. Opening reads only."""

    def __init__(self, name: str, root: Path, settings: Settings) -> None:
        self.name = name
        self.root = root
        self.settings = settings

    # ---- making and opening

    @classmethod
    def path_of(cls, name: str) -> Path:
        """Return where an engagement lies; raises UsageError on a name that is no folder name."""
        if not NAME.match(name):
            raise UsageError(
                f"'{name}' is no engagement name", "use lower-case letters, digits and dashes: brightsmile"
            )
        return home() / name

    @classmethod
    def open(cls, name: str) -> Engagement:
        """Open an engagement; raises UsageError where there is none, or where its settings are broken (with line)."""
        root = cls.path_of(name)
        file = root / "engagement.yaml"
        if not file.is_file():
            raise UsageError(
                f"there is no engagement '{name}' in {home()}",
                f"dentlib new {name} --source dent-o-soft --destination twenty --export ./from-client.zip",
            )
        try:
            raw = _yaml().load(file.read_text(encoding="utf-8"))
            return cls(name, root, Settings.model_validate(raw))
        except YAMLError as error:
            raise UsageError(f"{file} is not YAML: {error}", "mend the file, or restore it from a copy") from error
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise UsageError(f"{file}: {wrong}", f"dentlib configure {name} …, or edit the file") from None

    def save(self, settings: Settings) -> None:
        """Write the settings, whole and at once; keeps nothing that is a secret because none is ever in them."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.root / "engagement.yaml"
        part = file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as stream:
            stream.write("# Settings of one engagement. No secrets, no patients. Empty = undecided.\n")
            _yaml().dump(settings.model_dump(mode="json"), stream)
        part.chmod(0o600)
        part.replace(file)
        self.settings = settings

    def configure(self, changes: Mapping[str, Any]) -> Settings:
        """Return and save the settings with `changes` (dotted for the destination); raises UsageError on bad values."""
        data = self.settings.model_dump(mode="json")
        for name, value in changes.items():
            head, _, tail = name.partition(".")
            if tail and isinstance(data.get(head), dict):
                data[head][tail] = value
            else:
                data[name] = value  # one that there is not is refused below
        try:
            settings = Settings.model_validate(data)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}" for e in error.errors())
            raise UsageError(f"not changed: {wrong}", "see dentlib configure --help") from None
        self.save(settings)
        return settings

    # ---- paths

    def folder(self, *parts: str) -> Path:
        """Return a folder inside the engagement, made (0700) where missing."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)  # a parent made by the way would be open to others
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    @property
    def work_db(self) -> Path:
        """Return the throw-away store."""
        return self.root / "work.duckdb"

    def ledger(self, workspace_id: str) -> Path:
        """Return the ledger of one destination workspace: a rehearsal has its own."""
        return self.folder("ledgers") / f"{re.sub(r'[^A-Za-z0-9-]', '-', workspace_id)}.sqlite"

    @property
    def map_file(self) -> Path:
        """Return the map: a patch over the pair."""
        return self.folder("mapping") / "map.yaml"

    @property
    def approvals_file(self) -> Path:
        """Return the list of approvals."""
        return self.folder("mapping") / "approvals.yaml"

    @property
    def reports(self) -> Path:
        """Return the folder of the pages that the client receives."""
        return self.folder("reports")

    def new_run_folder(self, now: datetime, stage: str) -> Path:
        """Make the evidence folder of one stage call."""
        base = f"{now:%Y%m%d-%H%M%S}-{stage}"
        runs = self.folder("runs")
        number = 0
        while True:
            path = runs / (base if number == 0 else f"{base}-{number}")
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return path

    def rounds(self) -> list[str]:
        """Name the rounds of exports taken in, oldest first."""
        root = self.root / "export"
        if not root.is_dir():
            return []
        return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))

    # ---- credentials

    def api_key(self) -> SecretStr:
        """Fetch the key that the settings refer to; raises UsageError where the reference leads nowhere."""
        reference = self.settings.destination.api_key
        if reference is None:
            raise UsageError(
                "no key for the destination",
                f"put it in an environment variable, then: dentlib configure {self.name} --api-key env:NAME",
            )
        kind, _, where = reference.partition(":")
        if kind == "env":
            value = os.environ.get(where, "")
            if not value:
                raise UsageError(f"environment variable {where} is empty or not set", f"export {where}=… and try again")
            return SecretStr(value)
        try:
            keyring = importlib.import_module("keyring")
        except ImportError:
            raise UsageError("the keyring package is not installed", "pip install keyring, or use env:NAME") from None
        try:
            secret = keyring.get_password(where, self.name)
        except importlib.import_module("keyring.errors").KeyringError as error:
            raise UsageError(
                f"the keyring can't be read ({type(error).__name__})", "unlock it, or use env:NAME"
            ) from None
        if not secret:
            raise UsageError(f"the keyring holds no key for {where}", f"keyring set {where} {self.name}")
        return SecretStr(str(secret))
