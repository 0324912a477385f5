"""Configuration files and --set: what is unknown or wrong is said in one sentence."""

import re
from pathlib import Path

import pytest

from medcontext.config import StrictModel, read_data
from medcontext.errors import InputError
from medcontext.methods import make_config


def test_nested_changes_keep_what_they_do_not_name():
    config = make_config("medcontext").merged({"mask": {"ratio": 0.25}}, "changes")
    assert config.mask.ratio == 0.25
    assert config.mask.cell == make_config("medcontext").mask.cell


def test_assignments_reach_inside_and_are_read_as_data():
    config = make_config("medcontext").updated(["mask.ratio=0.5", "mask.cell=[2,4,4]", "views=paired"])
    assert (config.mask.ratio, config.mask.cell, config.views) == (0.5, (2, 4, 4), "paired")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("mask.ratio=2", "less than or equal to 1"),
        ("mask.rato=0.5", "mask.rato"),
        ("nothing=1", "There is no setting 'nothing'"),
        ("views", "not of the form key=value"),
        ("mask.cell.x=1", "There is no setting 'mask.cell.x'"),
    ],
)
def test_a_wrong_assignment_is_named(assignment, said):
    with pytest.raises(InputError, match=said):
        make_config("medcontext").updated([assignment])


@pytest.mark.parametrize("value", ["0", "wide", "[1,2]"])
def test_where_several_kinds_of_value_are_allowed_the_setting_is_named_and_no_kind(value):
    with pytest.raises(InputError) as refused:
        make_config("voco").updated([f"spacing={value}"])
    assert re.search(r"cannot be used: spacing[:.]", refused.value.message)
    assert not re.search(r"constrained|tuple\[|spacing\.[a-z]", refused.value.message)


def test_an_unknown_key_in_a_file_is_named(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("mask:\n  ratoi: 0.3\n")
    with pytest.raises(InputError, match=r"mask\.ratoi"):
        make_config("medcontext").merged(read_data(file), str(file))


def test_a_setting_is_named_in_words_of_the_file(tmp_path, monkeypatch):
    class Plan(StrictModel):
        windows: int

    with pytest.raises(InputError) as error:
        Plan.parse({"window": 3}, "plan.json")
    assert error.value.message == (
        "plan.json cannot be used: the field 'windows' is missing; "
        "there is no field 'window' (given: 3; allowed are windows)."
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=re.escape(f"plan.json does not exist. It was looked for in {tmp_path}.")
    ):
        Plan.read(Path("plan.json"))


def test_a_file_that_is_not_yaml_or_missing_is_named(tmp_path):
    file = tmp_path / "config.yaml"
    with pytest.raises(InputError, match="does not exist"):
        read_data(file)
    file.write_text("a: [1,")
    with pytest.raises(InputError, match="not valid YAML"):
        read_data(file)


def test_yaml_tags_are_not_executed(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a: !!python/object/apply:os.system ['false']")
    with pytest.raises(InputError, match="not valid YAML"):
        read_data(file)


def test_contradicting_settings_are_refused():
    with pytest.raises(InputError, match="average_two_supervised needs views=paired"):
        make_config("medcontext").updated(["average_two_supervised=true"])
