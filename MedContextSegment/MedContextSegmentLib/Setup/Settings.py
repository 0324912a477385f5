"""What belongs to the machine and is kept from one start of Slicer to the next."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

import qt

GROUP = "MedContextSegment"

DEVICES = ("auto", "cpu", "cuda", "mps")
"""``cuda:1`` and so on are allowed too."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CERTAINTIES = ("none", "entropy", "masked")

Value = TypeVar("Value", str, bool)


class _Setting(Generic[Value]):
    """One entry of the application's settings.

    Args:
        default: what it is until somebody changes it.
        allowed: the values it may have; all when empty. A stored one that is not among them, such as one of a later
            version, counts as the default.
    """

    def __init__(self, default: Value, allowed: tuple[str, ...] = ()) -> None:
        self.default: Value = default
        self.allowed = allowed

    def __set_name__(self, _owner: type, name: str) -> None:
        self.key = f"{GROUP}/{name}"

    @overload
    def __get__(self, settings: None, owner: type) -> _Setting[Value]: ...

    @overload
    def __get__(self, settings: Any, owner: type) -> Value: ...

    def __get__(self, settings: Any, owner: type) -> Any:
        if settings is None:
            return self
        stored = qt.QSettings().value(self.key)
        if stored is None:
            return self.default
        if isinstance(self.default, bool):
            return str(stored).lower() in ("true", "1")  # files hold text
        return str(stored) if self.accepts(str(stored)) else self.default

    def __set__(self, settings: Any, value: Value) -> None:
        if not isinstance(value, bool) and not self.accepts(value):
            error = f"'{self.key}' is one of {', '.join(self.allowed)}, not '{value}'."
            raise ValueError(error)
        qt.QSettings().setValue(self.key, value)

    def accepts(self, value: str) -> bool:
        """Whether the setting may have a value; what follows a colon is not looked at."""
        return not self.allowed or value.partition(":")[0] in self.allowed


class Settings:
    """The settings, read and written through at once. Text that cannot be right counts as the default.

    Attributes:
        device: where to compute.
        precision: number format of the network's arithmetic.
        certainty: whether a map of certainty is made with every segmentation, and of which kind.
        lowMemory: whether to compute in the way that needs least memory.
        offlinePack: folder of the offline pack that was installed from last; may be empty.
        caseStore: folder of the case store that was used last; may be empty.
        recentStores: folders of the case stores used before, the last one first, as a list in JSON.
        catalogue: path or address of the catalogue of models that was read last; may be empty.
        trainingMinutes: how long a model learns; 0 until somebody stops it.
        pretrainingMinutes: how long an encoder learns, likewise.
        batchInput: the scans of the batch that was started last; may be empty.
        batchOutput: the folder of its results; may be empty.
        batchFormats: what each scan becomes, with spaces between.
    """

    device = _Setting("auto", DEVICES)
    precision = _Setting("auto", PRECISIONS)
    certainty = _Setting("none", CERTAINTIES)
    lowMemory = _Setting(False)
    offlinePack = _Setting("")
    caseStore = _Setting("")
    recentStores = _Setting("")
    catalogue = _Setting("")
    trainingMinutes = _Setting("15")
    pretrainingMinutes = _Setting("60")
    batchInput = _Setting("")
    batchOutput = _Setting("")
    batchFormats = _Setting("seg.nrrd nii.gz")

    def reset(self) -> None:
        """Everything as in a fresh installation."""
        qt.QSettings().remove(GROUP)
