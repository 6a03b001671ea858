from __future__ import annotations

import pytest

from reco_stream.catalogue.writer import WritesUnavailable
from reco_stream.storage.attributes import UserAttributes
from reco_stream.storage.database import Database


async def test_attributes_are_replaced_as_a_whole_and_forgotten(database: Database) -> None:
    attributes = UserAttributes(database)
    assert await attributes.get("u'1") == {}
    await attributes.put("u'1", {"segment": "gold", "sizes": [1, None]})
    await attributes.put("u'1", {"segment": 'a"b\\'})
    assert await attributes.get("u'1") == {"segment": 'a"b\\'}
    await attributes.delete("u'1")
    await attributes.delete("u'1")
    assert await attributes.get("u'1") == {}


async def test_a_database_that_is_away_is_said() -> None:
    attributes = UserAttributes(Database("postgresql://u:p@127.0.0.1:1/d", 2, 1))
    for work in (attributes.get("u"), attributes.put("u", {}), attributes.delete("u")):
        with pytest.raises(WritesUnavailable):
            await work
