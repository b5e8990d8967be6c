"""What an order carries to the broker so that it can be found again: a magic number and a comment.

Both follow from the request's id alone. A ledger that is lost does not lose them.
"""

import base64
import hashlib
import re

ID_PATTERN = re.compile(r"[a-z2-7]{32}")
MAGIC_BITS = 31
MAGIC_MAX = (1 << MAGIC_BITS) - 1
# Servers may rewrite the end of a comment. What is left of it must still name one order.
COMMENT_DECIDES = 15


def tag_of(id: str) -> int:
    """The first 32 bits of the decoded id."""
    return int.from_bytes(base64.b32decode(id.upper()), "big") >> 128


def magic63_of(id: str, magic: int) -> int:
    """The magic number that is sent: the id's tag above the pipeline's number."""
    if not 0 <= magic <= MAGIC_MAX:
        raise ValueError(f"magic {magic} does not fit in {MAGIC_BITS} bits")
    return tag_of(id) << MAGIC_BITS | magic


def split_magic(magic63: int) -> tuple[int | None, int]:
    """Tag and pipeline number of a magic number that a list shows. A foreign one has no tag."""
    tag = magic63 >> MAGIC_BITS
    return (tag, magic63 & MAGIC_MAX) if tag else (None, magic63)


def comment_of(id: str) -> str:
    """23 characters: the wheel refuses 30 and more, and some brokers cut at 28."""
    return "sn:" + id[:20]


def same_comment(shown: str, sent: str) -> bool:
    """Whether what a list shows can only be the comment that was sent."""
    return len(shown) >= COMMENT_DECIDES and shown[:COMMENT_DECIDES] == sent[:COMMENT_DECIDES]


def child_id(parent: str, ticket: int) -> str:
    """The id of the order with which a FLATTEN closes one position."""
    digest = hashlib.sha256(f"{parent}/{ticket}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:32]
