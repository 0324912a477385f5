"""Settings of the machine: defaults, what is kept, and text that somebody else wrote."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def settings() -> Any:
    from MedContextSegmentLib.Setup.Settings import Settings

    return Settings()


def test_a_fresh_machine_has_the_defaults(settings: Any) -> None:
    assert (settings.device, settings.precision, settings.certainty) == ("auto", "auto", "none")
    assert settings.lowMemory is False
    assert settings.offlinePack == ""


def test_what_is_set_is_there_for_everybody_and_in_the_file(settings: Any) -> None:
    import qt

    from MedContextSegmentLib.Setup.Settings import Settings

    settings.device, settings.lowMemory, settings.offlinePack = "cuda:1", True, "/Päck ö/1"
    qt.QSettings().sync()
    again = Settings()
    assert (again.device, again.lowMemory, again.offlinePack) == ("cuda:1", True, "/Päck ö/1")
    settings.lowMemory = False
    assert again.lowMemory is False


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True), ("", False)])
def test_yes_and_no_come_back_from_text(settings: Any, text: str, value: bool) -> None:
    import qt

    qt.QSettings().setValue("MedContextSegment/lowMemory", text)
    assert settings.lowMemory is value


def test_a_stored_value_that_is_unknown_counts_as_the_default(settings: Any) -> None:
    import qt

    qt.QSettings().setValue("MedContextSegment/precision", "fp4")
    assert settings.precision == "auto"


def test_an_unknown_value_cannot_be_set(settings: Any) -> None:
    with pytest.raises(ValueError, match="auto, fp32, bf16, fp16"):
        settings.precision = "fp4"


def test_reset_leaves_the_settings_of_others_alone(settings: Any) -> None:
    import qt

    qt.QSettings().setValue("Other/key", "kept")
    settings.certainty = "masked"
    settings.reset()
    assert settings.certainty == "none"
    assert qt.QSettings().value("Other/key") == "kept"
