"""What must not be told of a case does not travel: messages to workers of a ``tcp://`` scheduler are not encrypted.

Names of folders travel in the paths of a case anyway. What headers say is read from them where the case is worked on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medcontext.batch.case import BatchCase
from medcontext.batch.dicom_facts import said_by
from medcontext.batch.identifiers import private_strings, silence_dicom_libraries


def to_send(case: BatchCase) -> BatchCase:
    """The case whose private strings are only those that its paths hold as well."""
    files = [*case.image_files, Path(case.roi or ""), *([case.reference] if case.reference else [])]
    folders = {str(file.parent) for file in files}
    shown = tuple(text for text in case.private if any(text in folder for folder in folders))
    return replace(case, private=shown)


def as_received(case: BatchCase) -> BatchCase:
    """The case with the private strings that the headers of its files hold; as it is where identifiers are kept."""
    if not case.private:
        return case
    silence_dicom_libraries()
    private = list(case.private)
    for files in (case.series, *case.more_series):
        if files:
            private += private_strings(*said_by(files[0]), (), None)
    return replace(case, private=tuple(dict.fromkeys(private)))
