"""What the parts of *Learn* know of each other and of the rest of the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.cards import CardSummary
from MedContextSegmentLib.Panel.EditorLink import EditorLink

if TYPE_CHECKING:
    from medcontext.case_list import StoreSummary


@dataclass
class LearnContext:
    """The panel as the parts of *Learn* see it; none of them knows another one.

    Attributes:
        editor: the embedded segment editor.
        shown: whether the section Learn is open, so that somebody sees its parts.
        store: gives the case store that is chosen, with its problem where it cannot be used; None where none is, where
            its drive has not answered yet, and until Learn is opened for the first time.
        storeFolder: gives its folder; None where none is chosen.
        models: gives the cards of the library that segment images, broken ones included.
        encoders: gives those of the encoders, which segment nothing, likewise.
        chosenModel: gives the model that is chosen in *Segment*, or None.
        selectModel: chooses a model there, given as ``id@version``.
        startFrom: chooses in *Fine-tune* what to start from, given as ``id@version``.
        refreshModels: reads the library anew.
        refreshCases: reads the store anew; the case of that id is selected in the table unless it is "".
        volumes: gives the volumes that are chosen in *Segment*, one for each channel, None where none is.
        volume: gives the first of them, or None.
        segmentation: gives the segmentation under review, or None.
        choose: chooses volumes and a segmentation (None for a new one) in *Segment*, such as those of an opened case.
        segment: clicks *Segment*; returns whether a run began.
        busy: whether a segmentation is being computed or a case store changed: nothing else should begin, and what can
            give way does.
        addCase: opens *Add case* for what is chosen.
        openCase: brings the case of that id into the scene beside what is there and chooses it; returns
            ``(volumeNode, segmentationNode)``, the latter None where nothing is annotated, or None where it failed,
            which the person has been told.
        notify: shows one line at the top of *Learn*.
    """

    editor: EditorLink
    shown: Callable[[], bool]
    store: Callable[[], StoreSummary | None]
    storeFolder: Callable[[], Path | None]
    models: Callable[[], list[CardSummary]]
    encoders: Callable[[], list[CardSummary]]
    chosenModel: Callable[[], CardSummary | None]
    selectModel: Callable[[str], None]
    startFrom: Callable[[str], None]
    refreshModels: Callable[[], None]
    refreshCases: Callable[..., None]
    volumes: Callable[[], Sequence[Any]]
    volume: Callable[[], Any]
    segmentation: Callable[[], Any]
    choose: Callable[[Sequence[Any], Any], None]
    segment: Callable[[], bool]
    busy: Callable[[], bool]
    addCase: Callable[[], None]
    openCase: Callable[[str], tuple[Any, Any] | None]
    notify: Callable[[str], None]
