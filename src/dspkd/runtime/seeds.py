"""Seeds are hashes of names, never the state of a global generator.

So a run that was killed and resumed, or that loads its images in other processes, draws the same numbers as one that
was not.
"""

import hashlib


def seed_for(*names: object) -> int:
    """Return a seed in [0, 2^63) that depends on `names`, their types and their order alone.

    >>> seed_for(0, "augment", "ISIC_0024306", 3) == seed_for(0, "augment", "ISIC_0024306", 3)
    True
    >>> seed_for("a", "b") == seed_for("ab")
    False
    """
    digest = hashlib.blake2b(repr(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
