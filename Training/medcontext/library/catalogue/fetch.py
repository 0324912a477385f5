"""Reading a catalogue from the disk or the net; nobody does it unless a person names it."""

from __future__ import annotations

from urllib.parse import urlsplit

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library.catalogue.form import Catalogue, parse_catalogue
from medcontext.library.catalogue.places import address_of, linked, local_path, shown
from medcontext.library.catalogue.transport import Transfer

MAXIMUM_BYTES = 16 * 2**20
"""A larger catalogue is not read; an entry takes about a kilobyte."""

STALL_S = 30.0
_THIS_COMPUTER = ("localhost", "127.0.0.1", "::1")


def read_catalogue(source: str, reporter: Reporter | None = None, stall_s: float = STALL_S) -> Catalogue:
    """The catalogue at a path or address, checked; the addresses of its models are whole.

    Args:
        source: a path, or an address with http, https or file.
        reporter: asked whether to go on; warned where somebody on the way could have changed the catalogue.
        stall_s: seconds without a byte after which the server is given up.

    Raises:
        InputError: there is no such file, it is no catalogue, or it names what it may not.
        ResourceError: the network failed.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    address = address_of(source)
    path = local_path(address)
    if path is None:
        address, content = _fetch(address, reporter, stall_s)
    elif not path.is_file():
        raise InputError(f"{path} is no file.", "Give a catalogue file, or its http or https address.")
    else:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    if len(content) > MAXIMUM_BYTES:
        raise InputError(f"{shown(address)} is no catalogue: it is larger than {MAXIMUM_BYTES >> 20} MB.")
    catalogue = parse_catalogue(content, shown(address))
    models = [entry.model_copy(update={"url": linked(address, entry.url)}) for entry in catalogue.models]
    return catalogue.model_copy(update={"models": models})


def _fetch(address: str, reporter: Reporter, stall_s: float) -> tuple[str, bytes]:
    """Where the catalogue was found in the end, and its bytes, no more than one beyond the largest allowed."""
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in _THIS_COMPUTER:
        reporter.warning(
            f"The connection to {parts.hostname} is not encrypted: somebody on the way could have changed the "
            "catalogue, and with it what is downloaded."
        )
    reporter.progress("catalogue", 0)
    content = bytearray()
    with Transfer(address, {}, stall_s, reporter) as transfer:
        head = transfer.head()
        for block in transfer.blocks():
            content += block
            if len(content) > MAXIMUM_BYTES:
                break
    reporter.progress("catalogue", 1)
    return head.url, bytes(content)
