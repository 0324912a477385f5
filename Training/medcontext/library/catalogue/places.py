"""Where catalogues and models lie: addresses on the net and on the disk, and which of them may lead to which."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from medcontext.errors import InputError

WEB = ("http", "https")


def address_of(source: str) -> str:
    """The address of what a person gave: http, https or file as it is, a path as a ``file:`` address.

    Raises:
        InputError: there is no such file, or the address is of another kind.
    """
    if "://" not in source:
        path = Path(source).expanduser().absolute()
        if not path.is_file():
            raise InputError(f"{path} is no file.", "Give a catalogue file, or its http or https address.")
        return path.as_uri()
    return checked(source, source)


def linked(base: str, target: str) -> str:
    """The address of what a catalogue at ``base`` names, relative to it or whole.

    Raises:
        InputError: a catalogue on the net names a file on the disk, or the address is of another kind.
    """
    try:
        address = checked(urljoin(base, target), target)
    except ValueError as error:
        raise _unusable(target) from error
    if local_path(address) is not None and local_path(base) is None:
        raise InputError(
            f"The catalogue {shown(base)} names a file on this computer: {target}.",
            "Do not use this catalogue.",
        )
    return address


def checked(address: str, given: str) -> str:
    """An address that can be opened.

    Args:
        address: the whole address.
        given: how errors call it.

    Raises:
        InputError: it is not http, https or file, has no host, or holds a name and password.
    """
    try:
        parts = urlsplit(address)
        fine = bool(parts.hostname) and parts.port != 0 if parts.scheme in WEB else parts.scheme == "file"
    except ValueError as error:
        raise _unusable(given) from error
    if not fine or any(letter <= " " for letter in address):
        raise _unusable(given)
    if parts.username is not None:
        raise InputError(
            f"The address at {parts.hostname} holds a user's name.", "Give an address that needs none."
        )
    return address


def _unusable(given: str) -> InputError:
    return InputError(
        f"'{given[:120]}' is no address that can be opened.",
        "It must begin with https:// or http://, or be a file.",
    )


def local_path(address: str) -> Path | None:
    """The file that a ``file:`` address names; None for the net."""
    parts = urlsplit(address)
    if parts.scheme != "file":
        return None
    host = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
    return Path(url2pathname(host + parts.path))


def file_name(address: str) -> str:
    """The last part of an address's path, as far as it can be the name of a file anywhere; it may be empty."""
    name = unquote(urlsplit(address).path).replace("\\", "/").rpartition("/")[2]
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name).strip(".")[-100:]


def shown(address: str) -> str:
    """An address for people and logs: without its query, where some servers want a key."""
    path = local_path(address)
    if path is not None:
        return str(path)
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
