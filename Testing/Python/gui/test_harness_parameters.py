"""The stand-in for the parameter node wrapper keeps to what Slicer documents and refuses what Slicer refuses."""

from __future__ import annotations

import enum
import pathlib
import typing
from typing import Annotated, Any

import pytest
import slicer


class Form(enum.Enum):
    finer = "f"
    context = "c"


@pytest.fixture
def wrapper() -> Any:
    """A wrapper with every supported kind of member, over a new node."""
    from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper, parameterPack

    axes = {"x": Annotated[float, WithinRange(0, 10)], "y": float}
    point = parameterPack(type("Point", (), {"__annotations__": axes, "x": 1.0}))
    members = {
        "volume": slicer.vtkMRMLScalarVolumeNode,
        "channels": list[slicer.vtkMRMLScalarVolumeNode],
        "margin": Annotated[float, WithinRange(0, 50), Default(5.0)],
        "count": int,
        "model": Annotated[str, Default("abc")],
        "form": Form,
        "folder": pathlib.Path,
        "on": bool,
        "maybe": typing.Optional[int],  # noqa: UP045 - Slicer does not take int | None
        "either": typing.Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode, None],  # noqa: UP007
        "pair": tuple[int, str],
        "table": dict[str, int],
        "point": point,
    }
    made = parameterNodeWrapper(type("Parameters", (), {"__annotations__": members, "on": True}))
    return made(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_defaults(wrapper: Any) -> None:
    values = {
        name: getattr(wrapper, name) for name in ("volume", "margin", "count", "model", "form", "on", "maybe")
    }
    expected = {
        "volume": None,
        "margin": 5.0,
        "count": 0,
        "model": "abc",
        "form": Form.finer,
        "on": True,
        "maybe": None,
    }
    assert values == expected
    assert wrapper.point.x == 1.0
    assert wrapper.default("margin").value == 5.0


def test_values_are_in_the_node_and_a_second_wrapper_reads_them(wrapper: Any) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    wrapper.volume = volume
    wrapper.channels = [volume, None]
    wrapper.form = Form.context
    wrapper.either = volume
    wrapper.pair = (3, "x")
    wrapper.table["a"] = 4
    wrapper.point.x = 7.0
    wrapper.maybe = 2
    other = type(wrapper)(wrapper.parameterNode)
    assert (other.volume, list(other.channels), other.either) == (volume, [volume, None], volume)
    assert (other.form, other.pair, dict(other.table), other.point.x) == (
        Form.context,
        (3, "x"),
        {"a": 4},
        7.0,
    )
    assert wrapper.parameterNode.GetParameter("form") == "context"
    assert wrapper.parameterNode.GetNodeReferenceID("volume") == volume.GetID()
    assert wrapper.getValue("point.x") == 7.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("margin", 51),
        ("model", 3),
        ("on", 1),
        ("form", "finer"),
        ("volume", "id"),
        ("channels", [3]),
        ("pair", (1,)),
    ],
)
def test_wrong_values_raise(wrapper: Any, name: str, value: Any) -> None:
    before = getattr(wrapper, name)
    with pytest.raises((TypeError, ValueError)):
        setattr(wrapper, name, value)
    assert getattr(wrapper, name) == before


@pytest.mark.parametrize("kind", [int | None, set, object, list], ids=str)
def test_types_slicer_cannot_store_raise(kind: Any) -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(TypeError, match="serializer"):
        parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"x": kind}}))


def test_reserved_names_raise() -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"default": int}}))


def test_widgets_and_values_follow_each_other(wrapper: Any) -> None:
    import ctk
    import qt

    slider, combo, edit, check = ctk.ctkSliderWidget(), qt.QComboBox(), qt.QLineEdit(), qt.QCheckBox()
    path = ctk.ctkPathLineEdit()
    mapping = {"margin": slider, "form": combo, "model": edit, "on": check, "folder": path}
    tag = wrapper.connectParametersToGui(mapping)
    assert (slider.value, slider.maximum, combo.currentText, edit.text, check.checked) == (
        5,
        50,
        "finer",
        "abc",
        True,
    )
    combo.currentIndex, edit.text, check.checked, path.currentPath = 1, "typed", False, "/tmp"
    slider.value = 9
    assert (wrapper.form, wrapper.model, wrapper.on, wrapper.margin) == (Form.context, "typed", False, 9.0)
    assert wrapper.folder == pathlib.Path("/tmp")
    wrapper.model = "set"
    assert edit.text == "set"
    wrapper.disconnectGui(tag)
    edit.text = "ignored"
    assert wrapper.model == "set"


def test_pairs_without_a_connector_raise(wrapper: Any) -> None:
    import ctk
    import qt

    pairs = (
        ("model", qt.QComboBox()),
        ("model", qt.QLabel()),
        ("count", ctk.ctkSliderWidget()),
        ("on", qt.QPushButton()),
    )
    for name, widget in pairs:
        with pytest.raises(RuntimeError):
            wrapper.connectParametersToGui({name: widget})


def test_closing_the_scene_brings_the_defaults_back() -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    made = parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"note": str}, "note": "first"}))
    logic = type("SomeModuleLogic", (ScriptedLoadableModuleLogic,), {})()
    made(logic.getParameterNode()).note = "changed"
    slicer.mrmlScene.Clear(False)
    assert made(logic.getParameterNode()).note == "first"
