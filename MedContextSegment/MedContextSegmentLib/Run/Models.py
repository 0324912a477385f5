"""The models of the library as the chooser shows them, and which volume goes to which input channel."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any, Protocol

from slicer.i18n import tr as _

from medcontext.cards import CardSummary, list_cards, read_summary, resolve
from medcontext.errors import InputError

SEGMENTATION, ENCODER = "segmentation", "encoder"

_SEQUENCES = (
    ("FLAIR", r"flair|t2f"),
    (
        "T1C",
        r"t1 ?(?:c|ce|gd|km|post|contrast|w? ?gd|w? ?ce)|t1 .*\b(?:gd|post|contrast|gadolinium)|contrast",
    ),
    ("ADC", r"adc"),
    ("DWI", r"dwi|diffusion"),
    ("SWI", r"swi"),
    ("T2", r"t2 ?w?"),
    ("T1", r"t1 ?[wn]?|mp ?rage|spgr|bravo"),
)
_MODALITIES = (
    ("CT", r"cta?|cbct|computed tomography"),
    ("PET", r"pet|pt|suv"),
    ("US", r"us|ultrasound"),
    ("MR", r"mri?|mra|magnetic resonance"),
)
"""Most specific first: "T2 FLAIR" is FLAIR, "T1 Gd" is T1 with contrast agent."""


class Channels(Protocol):
    """Input channels, of a model or of a case store: names and modalities, in order."""

    @property
    def channels(self) -> Sequence[str]: ...

    @property
    def modalities(self) -> Sequence[str]: ...


def modelKey(card: CardSummary) -> str:
    """What stands for a model in the scene: ``id@version``."""
    return f"{card.id}@{card.version}"


def listModels() -> list[CardSummary]:
    """The models that segment images, newest version first, broken ones included with their problem.

    Where the user's library and the bundled one hold the same version, the one that would be used is listed.
    """
    return _listed(SEGMENTATION)


def listEncoders() -> list[CardSummary]:
    """The encoders, which a training can start from and which segment nothing; else as :func:`listModels`."""
    return _listed(ENCODER)


def _listed(kind: str) -> list[CardSummary]:
    found: dict[str, CardSummary] = {}
    for card in list_cards():
        if card.kind == kind:
            key = modelKey(card)
            if key not in found or (found[key].problem and not card.problem):
                found[key] = card
    return list(found.values())


def findModel(model: str) -> CardSummary:
    """The card of a model given as id, ``id@version`` or folder.

    Raises:
        InputError: it is not there (any more), is broken, or does not segment images.
    """
    if not model:
        raise InputError(_("No model is chosen."), _("Choose one."))
    card = read_summary(resolve(model))
    if card.problem is not None:
        raise InputError(
            _("The model '{title}' cannot be used: {problem}").format(title=card.title, problem=card.problem),
            _("Choose another one, or import it again."),
        )
    if card.kind != SEGMENTATION:
        raise InputError(
            _("The model '{title}' does not segment images.").format(title=card.title),
            _("Choose another one."),
        )
    return card


def modelToolTip(card: CardSummary) -> str:
    """What the tooltip of a model says, as rich text: labels, modality, licence and shots."""
    rows = [
        (_("Labels"), ", ".join(card.labels)),
        (_("Input"), ", ".join(channelTitle(card, index) for index in range(len(card.channels)))),
        (_("Trained on"), _("{count} labelled cases").format(count=card.shots) if card.shots else ""),
        (_("Voxel size"), _rangeText(card.spacing_range)),
        (_("Field of view"), _rangeText(card.field_of_view_range)),
        (_("License"), card.license),
        (_("Version"), modelKey(card)),
        (_("Problem"), card.problem or ""),
    ]
    return _rich(card.title, rows)


def encoderToolTip(card: CardSummary) -> str:
    """What the tooltip of an encoder says, as rich text: what it is, and what it was pre-trained with."""
    rows = [
        (
            "",
            _(
                "Pre-trained on scans without labels. Knows no structure yet; may help where few cases are annotated."
            ),
        ),
        (_("Method"), card.method),
        (_("Network"), card.network),
        (_("Input"), ", ".join(channelTitle(card, index) for index in range(len(card.channels)))),
        (_("License"), card.license),
        (_("Version"), modelKey(card)),
    ]
    return _rich(card.title, rows)


def _rich(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"<b>{html.escape(title)}</b>"]
    lines += [f"{name}: {html.escape(text)}" if name else html.escape(text) for name, text in rows if text]
    return "<br>".join(lines)


def channelTitle(card: Channels, index: int) -> str:
    """Name of an input channel with its modality, where that says more."""
    name, modality = card.channels[index], card.modalities[index]
    if not name or not modality or name.casefold() == modality.casefold():
        return name or modality or _("Channel {number}").format(number=index + 1)
    return f"{name} ({modality})"


def modalityOf(text: str) -> str:
    """CT, MR, PET or US where a name says so, else ""; a sequence such as FLAIR says MR."""
    words = _words(text)
    return _first(_MODALITIES, words) or ("MR" if _first(_SEQUENCES, words) else "")


def sequenceOf(text: str) -> str:
    """T1, T1C, T2, FLAIR, ADC, DWI or SWI where a name says so, else ""."""
    return _first(_SEQUENCES, _words(text))


def preselect(card: Channels, volumeNodes: Sequence[Any]) -> list[Any]:
    """A volume for each input channel, chosen by its name.

    Args:
        card: the model or case store.
        volumeNodes: the volumes there are, best guess (such as the one shown) first.

    Returns:
        One node for each channel, each used once; None where none fits. A model with one channel gets the first
        volume that is not clearly of another kind.
    """
    least = 1 if len(card.channels) == 1 else 2
    scores = [
        (_fit(name, modality, node.GetName() or ""), -channel, -number)
        for channel, (name, modality) in enumerate(zip(card.channels, card.modalities, strict=True))
        for number, node in enumerate(volumeNodes)
    ]
    chosen: dict[int, int] = {}
    for score, channel, number in sorted(scores, reverse=True):
        if score >= least and -channel not in chosen and -number not in chosen.values():
            chosen[-channel] = -number
    return [
        volumeNodes[chosen[channel]] if channel in chosen else None for channel in range(len(card.channels))
    ]


def contradicts(card: Channels, channel: int, nodeName: str) -> bool:
    """Whether a volume's name says that it is something else than a channel."""
    return _fit(card.channels[channel], card.modalities[channel], nodeName) == 0


def _fit(name: str, modality: str, nodeName: str) -> int:
    """How well a volume's name fits a channel: 3 its very name, 2 its sequence, 1 not against it, 0 another one."""
    wanted, given = _words(name), _words(nodeName)
    wantedSequence = _first(_SEQUENCES, wanted) or _first(_SEQUENCES, _words(modality))
    givenSequence = _first(_SEQUENCES, given)
    modalities = {modalityOf(name) or modalityOf(modality), modalityOf(nodeName)} - {""}
    if len(modalities) > 1 or (wantedSequence and givenSequence and wantedSequence != givenSequence):
        return 0
    if wanted and re.search(rf"\b{re.escape(wanted)}\b", given):
        return 3
    if wantedSequence:
        return 2 if wantedSequence == givenSequence else 1
    return 2 if modalityOf(name) and modalityOf(name) == modalityOf(nodeName) else 1


def _words(text: str) -> str:
    """Lower case, with one space between words: "T1_Gd-tumor1" becomes "t1 gd tumor1"."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _first(patterns: Sequence[tuple[str, str]], words: str) -> str:
    return next((kind for kind, pattern in patterns if re.search(rf"\b(?:{pattern})\b", words)), "")


def _rangeText(limits: tuple[tuple[float, ...], tuple[float, ...]] | None) -> str:
    if limits is None:
        return ""
    low, high = sizesText(limits[0]), sizesText(limits[1])
    if low == high:
        return _("{size} mm").format(size=low)
    return _("{low} to {high} mm").format(low=low, high=high)


def sizesText(values: Sequence[float]) -> str:
    """Sizes along ``(K, J, I)`` as people write them: the first image axis first."""
    return " x ".join(f"{value:.3g}" for value in reversed(values))
