"""Which mirror images of a patient are still anatomy, told from the names and places of the labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medcontext.data.fingerprint import LabelFacts
from medcontext.labels import LabelSet

LATERALISED = (
    "aorta", "aortic", "appendix", "atrium", "atrial", "azygos", "brachiocephalic", "caecum", "cardiac",
    "cecum", "celiac", "coeliac", "colon", "coronary", "duodenum", "esophagus", "gallbladder", "heart",
    "hepatic", "ivc", "jejunum", "liver", "lv", "mesenteric", "mitral", "myo", "myocardium", "oesophagus",
    "pancreas", "portal", "pulmonary artery", "rectosigmoid", "rv", "sigmoid", "spleen", "splenic", "stomach",
    "tricuspid", "vena cava", "ventricle",
)  # fmt: skip
"""Words that name something which lies on one side or bends to one side, and has no mirrored partner."""

_BRAIN_VENTRICLE = re.compile(r"\b(lateral|lat|inf|third|fourth|3rd|4th|5th|cerebral|brain)\b.*\bvent")
_SIDES = dict.fromkeys(("left", "lt", "l", "lh"), "left") | dict.fromkeys(("right", "rt", "r", "rh"), "right")

ALWAYS_ON_ONE_SIDE_FROM = 5
"""So many cases must agree before the place of a label counts: by chance they do so once in 16."""

OFF_CENTRE = 0.1
"""Share of the image width by which a label lies beside the centre to count as on one side."""


def words(name: str) -> list[str]:
    """A label name as lower-case words: ``"LeftKidney"``, ``"kidney_left"``, ``"Kidney-L"`` all have two."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def side_of(name: str) -> tuple[str | None, str]:
    """The side a name speaks of (``"left"``, ``"right"`` or None) and the name without it."""
    parts = words(name)
    found = {_SIDES[word] for word in parts if word in _SIDES}
    side = found.pop() if len(found) == 1 else None
    return side, " ".join(sorted(word for word in parts if word not in _SIDES))


def flip_pairs(labels: LabelSet) -> list[tuple[int, int]]:
    """The (left value, right value) of every structure that the labels name on both sides."""
    sides: dict[str, dict[str, int]] = {}
    for label in labels:
        side, rest = side_of(label.name)
        if side is not None:
            sides.setdefault(rest, {})[side] = label.value
    return [(pair["left"], pair["right"]) for pair in sides.values() if len(pair) == 2]


def reason_against_flips(labels: LabelSet, title: Sequence[str] = (), facts: LabelFacts | None = None) -> str:
    """Why a left-right mirror image of these data would not be anatomy; empty when it would.

    Args:
        labels: the structures.
        title: name and description of the data set.
        facts: where the labels lie, when they were looked at.
    """
    paired = {value for pair in flip_pairs(labels) for value in pair}
    for label in labels:
        if side_of(label.name)[0] is not None and label.value not in paired:
            return f"'{label.name}' has no partner on the other side"
    for label in labels:
        if label.value not in paired and is_lateralised(label.name):
            return f"'{label.name}' lies on one side of the body"
    sides = {_SIDES[word] for text in title for word in words(text) if len(word) > 2 and word in _SIDES}
    if len(sides) == 1 and not paired:
        return f"the data set says that it shows the {sides.pop()} side only"
    return _one_sided(labels, paired, facts) if facts is not None else ""


def reason_against_any_flips(labels: LabelSet, side: int | None) -> str:
    """Why mirroring along whatever axis would mix up left and right; empty where it would not.

    Args:
        labels: the structures.
        side: axis that runs from left to right, along which the labels of a pair swap; None where nobody knows it.
    """
    paired = {value for pair in flip_pairs(labels) for value in pair}
    for label in labels:
        if side_of(label.name)[0] is not None and (side is None or label.value not in paired):
            if side is not None:
                return f"'{label.name}' has no partner on the other side"
            return f"'{label.name}' lies on one side, and images that stay as stored do not say which axis that is"
    return ""


def is_lateralised(name: str) -> bool:
    """Whether the name is that of a structure without mirror partner (liver, stomach, heart ...)."""
    text = " ".join(words(name))
    if _BRAIN_VENTRICLE.search(text):
        return False
    return any(re.search(rf"\b{word}s?\b", text) for word in LATERALISED)


def _one_sided(labels: LabelSet, paired: set[int], facts: LabelFacts) -> str:
    for left, right in flip_pairs(labels):
        if (left in facts.present) != (right in facts.present):
            return "the labelled cases show one side only"
    for label in labels:
        offsets = facts.offsets.get(label.value, [])
        if label.value in paired or len(offsets) < ALWAYS_ON_ONE_SIDE_FROM:
            continue
        if min(offsets) > OFF_CENTRE or max(offsets) < -OFF_CENTRE:
            return f"'{label.name}' lies on the same side of the image in every case"
    return ""
