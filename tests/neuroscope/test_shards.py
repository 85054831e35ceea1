"""Shards are full at a number of characters, and their ids depend on their texts."""

import pytest

from mechscope.neuroscope.shards import Shard, shards_of


def test_shards_have_whole_documents_in_their_order():
    documents = [(str(number), "x" * number) for number in range(8)]
    shards = list(shards_of(documents, 6))
    assert [shard.index for shard in shards] == [0, 1, 2, 3]
    assert [document for shard in shards for document in shard.documents] == documents
    assert [shard.characters for shard in shards] == [6, 9, 6, 7]
    assert not list(shards_of([], 6))
    with pytest.raises(ValueError, match="at least 1 character, not 0"):
        list(shards_of(documents, 0))


def test_an_id_changes_with_the_index_a_name_a_text_or_a_border():
    ids = [
        Shard(*of).id
        for of in [
            (0, (("a", "bc"),)),
            (1, (("a", "bc"),)),
            (0, (("b", "bc"),)),
            (0, (("a", "b"),)),
            (0, (("ab", "c"),)),
            (0, (("a", "b"), ("", "c"))),
            (0, ()),
        ]
    ]
    assert len(set(ids)) == len(ids)
    assert ids[0] == Shard(0, (("a", "bc"),)).id
    # Text with half a character, as some files have.
    assert Shard(0, (("a", "\ud800"),)).id
    with pytest.raises(ValueError, match="cannot be -1"):
        Shard(-1, ())
