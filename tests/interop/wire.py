"""The wire format of caster 0.1.1, as much of it as the tests need.

    datagram = digest(secret + payload) + payload, where payload is UTF-8 JSON

Runtimes up to Node 5 hash the bytes ("binary" era), later ones hash the UTF-8
form of the Latin-1 decoded bytes ("utf8" era).  For ASCII both are the same.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import json
from typing import Any

GROUP = "224.0.0.42"
PORT = 10101
SECRET = '9ve2cND;d3"Vs'
DIGEST_SIZE = 20
MAX_DATAGRAM = 65507
MAX_DEPTH = 64
"""The maximum nesting of JSON that is sent: some originals fail on more."""


def digest(
    payload: bytes, secret: str = SECRET, era: str = "binary", algorithm: str = "sha1"
) -> bytes:
    text = secret + payload.decode("latin-1")
    if era == "binary":
        data = bytes(ord(char) & 0xFF for char in text)
    else:
        data = text.encode()
    return hashlib.new(algorithm, data).digest()


def seal(payload: bytes, secret: str = SECRET, **how: str) -> bytes:
    """The datagram of a payload."""
    return digest(payload, secret, **how) + payload


def to_json(value: Any) -> bytes:
    """The text of `JSON.stringify`, in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def heartbeat(id: Any, meta: Any = None, secret: str = SECRET, **how: str) -> bytes:
    return seal(to_json({"id": id, "meta": meta}), secret, **how)


def message(id: Any, message: Any, secret: str = SECRET, **how: str) -> bytes:
    return seal(to_json({"id": id, "message": message}), secret, **how)


def goodbye(id: Any, secret: str = SECRET, **how: str) -> bytes:
    return seal(to_json({"id": id, "suicide": True}), secret, **how)


@functools.lru_cache(maxsize=4096)
def open_datagram(datagram: bytes) -> bytes | None:
    """The payload of a datagram under the default secret, None if it is not."""
    payload = datagram[DIGEST_SIZE:]
    sealed = (seal(payload, era=era) for era in ("binary", "utf8"))
    return payload if datagram in sealed else None


def open_plain(datagram: bytes) -> bytes | None:
    """The payload of a datagram without a digest, None if it is not JSON."""
    try:
        json.loads(datagram)
    except ValueError:
        return None
    return datagram


# The stage `crypto`, by the library behind Python's own hashes.

KEY = "09dfDim3ZqzXvfkun6"
BLOCK = 16


@functools.cache
def libcrypto() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
    library.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
    library.EVP_aes_256_cbc.restype = ctypes.c_void_p
    return library


@functools.cache
def key_and_iv(key: str = KEY) -> tuple[bytes, bytes]:
    """`EVP_BytesToKey` with MD5, without salt, one round."""
    drawn = block = b""
    while len(drawn) < 48:
        block = hashlib.md5(block + key.encode("latin-1")).digest()
        drawn += block
    return drawn[:32], drawn[32:48]


def cbc(data: bytes, encrypts: bool, padding: bool = True) -> bytes | None:
    """AES-256 in CBC mode; None if the padding is wrong."""
    library = libcrypto()
    context = ctypes.c_void_p(library.EVP_CIPHER_CTX_new())
    cipher = ctypes.c_void_p(library.EVP_aes_256_cbc())
    library.EVP_CipherInit_ex(context, cipher, None, *key_and_iv(), int(encrypts))
    library.EVP_CIPHER_CTX_set_padding(context, int(padding))
    out = ctypes.create_string_buffer(len(data) + BLOCK)
    first, last = ctypes.c_int(), ctypes.c_int()
    library.EVP_CipherUpdate(context, out, ctypes.byref(first), data, len(data))
    rest = ctypes.byref(out, first.value)
    ended = library.EVP_CipherFinal_ex(context, rest, ctypes.byref(last))
    library.EVP_CIPHER_CTX_free(context)
    return out.raw[: first.value + last.value] if ended == 1 else None


def encrypt(payload: bytes) -> bytes:
    """The datagram of a payload under digest and cipher."""
    encrypted = cbc(seal(payload), encrypts=True)
    assert encrypted is not None
    return encrypted


@functools.lru_cache(maxsize=4096)
def decrypt(datagram: bytes) -> bytes | None:
    """The payload of such a datagram, None if it is not."""
    sealed = cbc(datagram, encrypts=False) if len(datagram) % BLOCK == 0 else None
    return None if sealed is None else open_datagram(sealed)


def beginning(datagram: bytes) -> bytes:
    """The first bytes of a datagram without the cipher."""
    return cbc(datagram[: len(datagram) // BLOCK * BLOCK], False, padding=False) or b""


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def offence(datagram: bytes) -> str | None:
    """The property of the datagram that would end or confuse an original, or None."""
    payload = open_datagram(datagram)
    if payload is None:
        return "its digest is wrong"
    if not payload.isascii():
        return "it is not ASCII: the other era rejects its digest"
    try:
        envelope = json.loads(payload)
    except ValueError:
        return "it is not JSON"
    if not isinstance(envelope, dict):
        return "it is not an object"
    if not isinstance(envelope.get("id"), str):
        return "its id is not a string"
    if depth(envelope) > MAX_DEPTH:
        return "it is nested too deeply"
    if envelope.get("suicide") and "message" in envelope:
        return "it is a leave with a message"
    return None
