"""What goes along with a model in the form of another program."""

from __future__ import annotations

from medcontext.library.folder import README_FILE
from medcontext.library.read import LoadedModel
from medcontext.library.readme import model_readme


def own_readme(loaded: LoadedModel) -> str:
    """The README of its folder, or one written from its card."""
    path = loaded.folder / README_FILE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else model_readme(loaded.card)


def licence_text(loaded: LoadedModel) -> str:
    """The licence file of its folder, or what its card says."""
    for name in ("LICENSE.txt", "LICENSE.md"):
        if (loaded.folder / name).is_file():
            return (loaded.folder / name).read_text(encoding="utf-8", errors="replace")
    card = loaded.card
    return f"The weights of '{card.id}' {card.version} are given under this licence: {card.license}\n"
