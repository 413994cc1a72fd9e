"""Tests of an engagement's folder, settings and credentials."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dentlib import errands
from dentlib.engagement import DestinationSettings, Engagement, Settings
from dentlib.errors import GateClosed, UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of engagements."""
    monkeypatch.setenv("DENTLIB_HOME", str(tmp_path))
    return tmp_path


def made(home: Path, **settings: object) -> Engagement:
    """Make and save an engagement called bright."""
    engagement = Engagement(
        "bright",
        home / "bright",
        Settings(client="Bright", source="other", destination=DestinationSettings(product="twenty")),
    )
    engagement.configure(settings)
    return engagement


@pytest.mark.parametrize("name", ["", "Bright", "../etc", "a b", "-x", "a/b", "a" * 80])
def test_a_name_that_is_no_folder_name_is_refused(home: Path, name: str) -> None:
    """A name can't lead out of the home."""
    with pytest.raises(UsageError, match="no engagement name"):
        Engagement.open(name)


def test_settings_survive_saving_and_are_private(home: Path) -> None:
    """What is saved is what is opened, and nobody else can read it."""
    made(home, currency="EUR", **{"destination.url": "https://crm.example.com/", "destination.api_key": "env:KEY"})
    opened = Engagement.open("bright")
    assert opened.settings.currency == "EUR"
    assert opened.settings.destination.url == "https://crm.example.com"
    assert stat.S_IMODE((home / "bright" / "engagement.yaml").stat().st_mode) == 0o600


def test_a_sandbox_that_is_there_keeps_its_version(home: Path) -> None:
    """Another version is refused before a stage fails on it, and nothing is changed."""
    engagement = made(home)
    errands.configure("bright", {"destination.sandbox_version": "1.17"})
    (engagement.root / "sandbox-twenty.sqlite").touch()
    errands.configure("bright", {"destination.sandbox_version": "1.17", "currency": "EUR"})
    with pytest.raises(UsageError, match=r"is a Twenty 1\.17 already"):
        errands.configure("bright", {"destination.sandbox_version": "2.21"})
    assert Engagement.open("bright").settings.destination.sandbox_version == "1.17"


def test_folders_are_for_their_owner_alone(home: Path) -> None:
    """Also the engagement's own, where a folder inside it is made first."""
    settings = Settings(client="Bright", source="other", destination=DestinationSettings(product="twenty"))
    inner = Engagement("bright", home / "bright", settings).folder("export", "one")
    assert {stat.S_IMODE(p.stat().st_mode) for p in (home / "bright", inner)} == {0o700}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("time_zone", "Mars/Olympus"),
        ("currency", "usd"),
        ("phone_country", "USA"),
        ("destination.api_key", "eyJhbGciOi"),
        ("destination.api_key", "env:eyJhbGciOi.J9.secret"),
        ("destination.api_key", "env:KEY\n"),
        ("destination.url", "ftp://x"),
        ("destination.url", "https://crm.example.com/objects/people?view=secret"),
        ("destination.url", "https://user:secret@crm.example.com"),
        ("destination.calls_per_minute", -1),
        ("past_before", "tomorrow"),
        ("colour", "red"),
        ("colour.deep", "red"),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_saved(home: Path, setting: str, value: object) -> None:
    """A setting that can't be right never reaches the file, a key in clear least of all."""
    engagement = made(home)
    before = (home / "bright" / "engagement.yaml").read_text()
    with pytest.raises(UsageError) as caught:
        engagement.configure({setting: value})
    assert (home / "bright" / "engagement.yaml").read_text() == before
    assert "secret" not in str(caught.value)
    assert "eyJ" not in str(caught.value)


def test_undecided_settings_stand_in_on_the_sandbox_only(home: Path) -> None:
    """A rehearsal may assume; a real destination makes a person decide."""
    engagement = made(home)
    assert engagement.settings.undecided() == (
        "time_zone",
        "currency",
        "phone_country",
        "languages",
        "fallback_owner",
    )
    assert engagement.settings.decided().currency == "USD"
    engagement.configure({"destination.url": "https://crm.example.com"})
    with pytest.raises(GateClosed, match="undecided settings: time_zone"):
        engagement.settings.decided()


def test_a_key_is_fetched_by_reference_and_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment; its repr doesn't show it; an empty variable is an error with the way out."""
    engagement = made(home, **{"destination.api_key": "env:BRIGHT_KEY"})
    with pytest.raises(UsageError, match="BRIGHT_KEY is empty or not set"):
        engagement.api_key()
    monkeypatch.setenv("BRIGHT_KEY", "hush-hush")
    assert engagement.api_key().get_secret_value() == "hush-hush"
    assert "hush" not in repr(engagement.api_key())


def test_a_locked_keyring_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key comes out of the keyring too; one that can't be read, or holds none, is an error with the way out."""

    class KeyringError(Exception):
        pass

    found: list[str | None] = ["hush-hush", None]

    def get_password(service: str, name: str) -> str | None:
        assert (service, name) == ("twenty", "bright")
        if not found:
            raise KeyringError("locked")
        return found.pop(0)

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    monkeypatch.setitem(sys.modules, "keyring.errors", SimpleNamespace(KeyringError=KeyringError))
    engagement = made(home, **{"destination.api_key": "keyring:twenty"})
    assert engagement.api_key().get_secret_value() == "hush-hush"
    with pytest.raises(UsageError, match="holds no key for twenty"):
        engagement.api_key()
    with pytest.raises(UsageError, match="can't be read"):
        engagement.api_key()


def test_what_a_killed_intake_left_is_no_round(home: Path) -> None:
    """Only folders in custody count."""
    engagement = made(home)
    for name in (".incoming-2026-01-06-01", "2026-01-05-01"):
        engagement.folder("export", name)
    assert engagement.rounds() == ["2026-01-05-01"]


def test_broken_yaml_names_the_file(home: Path) -> None:
    """A hand-edited file that is no YAML is one message with the file's name."""
    made(home)
    (home / "bright" / "engagement.yaml").write_text("client: [unclosed", encoding="utf-8")
    with pytest.raises(UsageError, match=r"engagement\.yaml is not YAML"):
        Engagement.open("bright")


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"plan": "pro"}, 100),
        ({"plan": "organization"}, 200),
        ({"plan": "self-hosted"}, 100),
        ({"plan": "self-hosted", "calls_per_minute": 500}, 500),
        ({"plan": "self-hosted", "calls_per_minute": 0}, None),
        ({}, 100),
    ],
)
def test_the_rate_comes_from_the_plan(given: dict[str, Any], rate: int | None) -> None:
    """What an administrator set goes before the plan; without either, what a server comes with, and it is said."""
    settings = DestinationSettings(product="twenty", url="https://crm.example.com", **given)
    assert settings.allowed_calls_per_minute == rate
    assert settings.rate_from
    off = DestinationSettings(product="twenty", sandbox_limits="off", **given)
    assert off.allowed_calls_per_minute is None
