"""What follows from an id."""

import base64

import pytest

from sentinel_gateway.carriers import MAGIC_MAX, child_id, comment_of, magic63_of, same_comment, split_magic, tag_of

ID = "r3ar6lghirjahvx7cs42nk32vcbg7hif"


def test_tag_magic_and_comment_follow_from_the_id() -> None:
    assert tag_of(ID) == 2395021100
    assert magic63_of(ID, 2017) == 2395021100 << 31 | 2017
    assert split_magic(magic63_of(ID, 2017)) == (2395021100, 2017)
    assert comment_of(ID) == "sn:r3ar6lghirjahvx7cs42"


def test_the_largest_carrier_fits_in_63_bits_and_29_characters() -> None:
    assert magic63_of("7" * 32, MAGIC_MAX) == (1 << 63) - 1
    assert len(comment_of(ID)) == 23


def test_a_magic_that_does_not_fit_is_refused() -> None:
    for magic in (-1, MAGIC_MAX + 1):
        with pytest.raises(ValueError, match="31 bits"):
            magic63_of(ID, magic)


def test_a_foreign_magic_has_no_tag() -> None:
    assert split_magic(2017) == (None, 2017)


def test_the_first_15_characters_of_a_comment_decide() -> None:
    sent = comment_of(ID)
    assert same_comment(sent[:15], sent)
    assert same_comment(sent[:15] + "[sl 1.1]", sent)
    assert not same_comment(sent[:14], sent)
    assert not same_comment("", sent)


def test_children_of_a_flatten_have_ids_of_their_own() -> None:
    children = {child_id(ID, ticket) for ticket in range(100)}
    assert len(children) == 100
    assert all(len(base64.b32decode(child.upper())) == 20 for child in children)
