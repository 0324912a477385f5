"""The output folder of a batch, ready to be written to; where its files lie is said in ``medcontext.batch_ledger``."""

from __future__ import annotations

import os
from pathlib import Path

from medcontext.batch_ledger import Layout
from medcontext.errors import InputError
from medcontext.io.dicom_folder import has_text_name, printable

__all__ = ["Layout", "open_output"]


def open_output(folder: Path) -> Layout:
    """Make the output folder where it is missing.

    Raises:
        InputError: it cannot be made, is a file, or may not be written to.
    """
    hint = "Choose another output folder."
    if not has_text_name(folder):  # no image could be written there
        raise InputError(f"The name {printable(folder)} is not UTF-8 text.", hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, not a folder.", hint) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror or error}.", hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} may not be written to.", hint)
    return Layout(folder.absolute())
