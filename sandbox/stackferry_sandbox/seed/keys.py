"""SSH public keys for keypairs, whose private halves are thrown away."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAKERS: dict[str, Callable[[], ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 3072),
}


def public_key(algorithm: str, comment: str) -> str:
    """A new public key, as a line of authorized_keys.

    Args:
        algorithm: ``ed25519`` or ``rsa``.
        comment: what stands at its end.
    """
    line = MAKERS[algorithm]().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"{line.decode()} {comment}"
