"""Makes keys, takes them apart, and hashes their secrets."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

ID_LENGTH = 8
SECRET_BYTES = 32
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
"""Of base32: no letter is taken for another, and a double click selects the whole key."""

_KEY = re.compile(rf"xpf_([{ALPHABET}]{{{ID_LENGTH}}})_([{ALPHABET}]{{52}})")

COST_LOG2, BLOCK_SIZE, PARALLEL = 14, 8, 1
"""Of scrypt (RFC 7914): 16 MiB and some 40 ms of a core."""

MIN_COST_LOG2, MAX_COST_LOG2 = 10, 17
"""Of hashes that are taken from a file: 128 MiB at most."""

SALT_BYTES, HASH_BYTES = 16, 32
_HASH = re.compile(r"\$scrypt\$ln=(\d\d),r=8,p=1\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as a client sends it.

    Attributes:
        id: Names the key; no secret, it stands in logs and metrics.
        secret: 256 random bits.
    """

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The key in one piece."""
        return f"xpf_{self.id}_{self.secret}"


def make_key() -> Key:
    """A new key."""
    name = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    drawn = base64.b32encode(secrets.token_bytes(SECRET_BYTES))
    return Key(name, drawn.decode("ascii").rstrip("=").lower())


def split_key(text: str) -> Key | None:
    """Take a key apart; None where it has not the form of one.

    Example:
        >>> key = make_key()
        >>> split_key(key.text) == key
        True
        >>> split_key("xpf_guess") is None
        True
    """
    found = _KEY.fullmatch(text)
    return Key(found[1], found[2]) if found else None


def hash_secret(secret: str) -> str:
    """The hash of a secret with a salt of its own, in the form of PHC strings."""
    salt = secrets.token_bytes(SALT_BYTES)
    hashed = _run_scrypt(secret, salt, COST_LOG2)
    return f"$scrypt$ln={COST_LOG2},r={BLOCK_SIZE},p={PARALLEL}${_encode(salt)}${_encode(hashed)}"


def is_hash(text: str) -> bool:
    """Whether a text is a hash of `hash_secret`, and not one that is too dear to compare with."""
    found = _HASH.fullmatch(text)
    return found is not None and MIN_COST_LOG2 <= int(found[1]) <= MAX_COST_LOG2


def is_secret(secret: str, hashed: str) -> bool:
    """Whether a secret has this hash; takes tens of milliseconds, and no lock of the interpreter.

    Args:
        secret: As a client sent it.
        hashed: One that `is_hash`.
    """
    found = _HASH.fullmatch(hashed)
    assert found is not None
    computed = _run_scrypt(secret, _decode(found[2]), int(found[1]))
    return hmac.compare_digest(computed, _decode(found[3]))


def _run_scrypt(secret: str, salt: bytes, cost_log2: int) -> bytes:
    cost = 2**cost_log2
    return hashlib.scrypt(
        secret.encode("ascii"),
        salt=salt,
        n=cost,
        r=BLOCK_SIZE,
        p=PARALLEL,
        dklen=HASH_BYTES,
        maxmem=256 * cost * BLOCK_SIZE,  # Twice what it takes.
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
