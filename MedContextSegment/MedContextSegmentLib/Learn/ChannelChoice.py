"""Which volume goes to which channel of a case store, and which channel of a model those of a case are."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from slicer.i18n import tr as _

from medcontext.case_list import StoreSummary
from MedContextSegmentLib.Learn.OpenCase import openedChannel
from MedContextSegmentLib.Run.Models import Channels, contradicts, preselect


def channelsOf(store: StoreSummary) -> Channels:
    """The channels of a store as those of a model are given."""
    return SimpleNamespace(
        channels=[name for name, _modality in store.channels],
        modalities=[modality for _name, modality in store.channels],
    )


def volumesFor(store: StoreSummary, volumes: Sequence[Any], names: Sequence[str] = ()) -> list[Any]:
    """A volume for each channel of a store; None where a person has to choose.

    Volumes that were opened from the store go where they were. Others go by their names, and those whose names say
    nothing by the channel of the model that they were chosen for.

    Args:
        store: the store.
        volumes: those that are chosen, None where none is.
        names: the channel of the model that each was chosen for.
    """
    there = [node for node in volumes if node is not None]
    places = [openedChannel(store, node) for node in there]
    count = len(store.channels)
    found: list[Any]
    if there and None not in places and len(set(places)) == len(places):
        found = [None] * count
        for place, node in zip(places, there, strict=True):
            if place is not None and place < count:
                found[place] = node
        return found
    card = channelsOf(store)
    found = preselect(card, there)
    chosenFor = {name.casefold(): node for name, node in zip(names, volumes, strict=False) if name}
    used = [node for node in found if node is not None]
    for index, name in enumerate(card.channels):
        node = chosenFor.get(name.casefold())
        if found[index] is not None or node is None or node in used:
            continue
        if not contradicts(card, index, node.GetName() or ""):
            found[index] = node
            used.append(node)
    return found if any(found) or count > 1 else there[:1] or [None]


def volumesOfModel(card: Channels | None, store: StoreSummary, volumes: Sequence[Any]) -> list[Any]:
    """The volumes of a case in the order of a model's channels; None for a channel that the case does not have.

    Args:
        card: the model; None where none is chosen.
        store: of the case.
        volumes: one for each of its channels.
    """
    if card is None:
        return list(volumes)
    named = [
        _Named(name or modality, node) for (name, modality), node in zip(store.channels, volumes, strict=True)
    ]
    found = preselect(card, named)
    left = [one for one in named if one not in found]
    for index, one in enumerate(found):
        fitting = [other for other in left if not contradicts(card, index, other.name)]
        if one is None and fitting:
            found[index] = fitting[0]
            left.remove(fitting[0])
    return [one.node if one is not None else None for one in found]


class _Named:
    """A volume under the name of its channel."""

    def __init__(self, name: str, node: Any) -> None:
        self.name, self.node = name, node

    def GetName(self) -> str:
        return self.name


def channelNotes(store: StoreSummary, volumes: Sequence[Any]) -> list[str]:
    """A sentence for each volume whose name says that it is something else than the channel that it is chosen for."""
    card = channelsOf(store)
    text = _("{scan} is chosen as {channel}, though its name says something else: check the images.")
    return [
        text.format(scan=node.GetName(), channel=name)
        for index, (name, node) in enumerate(zip(card.channels, volumes, strict=True))
        if openedChannel(store, node) != index and contradicts(card, index, node.GetName() or "")
    ]
