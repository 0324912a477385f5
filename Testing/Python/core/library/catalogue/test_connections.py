"""Where a download may be led to, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.home import downloads
from medcontext.library.catalogue import Patience, downloaded


def get(entry: Any) -> bytes:
    with downloaded(entry, Reporter(), Patience(stall_s=60.0, attempts=3, pause_s=0.0)) as path:
        return path.read_bytes()


@pytest.fixture
def half(content: bytes) -> int:
    return len(content) // 2


def test_redirects_lead_to_the_file_and_keep_the_question(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    away = answer(status=307, headers={"Location": "/store/m.zip"})
    entry = entry_of(server.answer("/m.zip", away))
    server.answer("/store/m.zip", answer(content, sent=half), answer(content))
    assert get(entry) == content
    assert server.ranges("/store/m.zip") == [None, f"bytes={half}-"]


@pytest.mark.parametrize("target", ["/m.zip", "/m.zip?{}"], ids=["circle", "endless"])
def test_redirects_without_an_end_are_left(target: str, server: Any, answer: Any, entry_of: Any) -> None:
    steps = [answer(status=302, headers={"Location": target.format(step)}) for step in range(50)]
    with pytest.raises(InputError, match="leads on and on"):
        get(entry_of(server.answer("/m.zip", *steps)))
    assert len(server.asked) <= 7


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://example.org/m.zip", "data:,x"])
def test_redirects_to_other_places_are_not_followed(
    target: str, server: Any, answer: Any, entry_of: Any
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(status=302, headers={"Location": target})))
    with pytest.raises(InputError, match=r"not allowed|no address"):
        get(entry)
    assert list(downloads().rglob("*.zip*")) == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that signed itself, with its key."""
    pytest.importorskip("cryptography", reason="certificates are made with the package cryptography")
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*plain))
    return path


@pytest.fixture
def encrypted(server: Any, certificate: Path) -> Callable[[str], str]:
    """The server with TLS; ``encrypted(path)`` is an address of it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return lambda path: server.url(path).replace("http:", "https:")


def test_a_server_without_a_certificate_is_refused(
    encrypted: Callable[[str], str], server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    server.answer("/m.zip", answer(content))
    with pytest.raises(InputError, match="cannot show that it is who it says it is"):
        get(entry_of(encrypted("/m.zip")))
    assert server.asked == []


def test_an_encrypted_connection_is_never_left(
    encrypted: Callable[[str], str],
    server: Any,
    answer: Any,
    entry_of: Any,
    content: bytes,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.answer("/m.zip", answer(content))
    assert get(entry_of(encrypted("/m.zip"))) == content
    server.answer("/away.zip", answer(status=301, headers={"Location": server.url("/m.zip")}))
    with pytest.raises(InputError, match="https leads to https only"):
        get(entry_of(encrypted("/away.zip")))
