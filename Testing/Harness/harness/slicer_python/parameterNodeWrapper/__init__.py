"""Stands in for ``slicer.parameterNodeWrapper``, as documented by Slicer and strict: what Slicer refuses raises here.

Values are stored in the real vtkMRMLScriptedModuleNode under the names and in the texts Slicer uses, nodes as node
references. Not there: createGui(), FloatRange, serializers and connectors of one's own.
"""

from slicer.parameterNodeWrapper.annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from slicer.parameterNodeWrapper.packs import isParameterPack, nestedParameterNames, parameterPack
from slicer.parameterNodeWrapper.wrapper import (
    SlicerParameterNamePropertyName,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "isParameterPack",
    "nestedParameterNames",
    "parameterNodeWrapper",
    "parameterPack",
]
