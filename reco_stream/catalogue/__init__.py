"""The catalogue: what an item is, the local copy that serving reads, and who takes changes.

item         the item of the topic, its text for content
incoming     what of a request or a file is an item, and why not
local        the copy in memory that follows the topic
writer       who takes changes: the interface, and the one that writes to the topic itself
expression   filter expressions
selection    items that pass a filter, kept up to date
scenarios    named rules in a file
settings     the settings of all this
"""

from reco_stream.catalogue.item import Item, ItemId, decode_item, encode_item
from reco_stream.catalogue.local import Catalogue

__all__ = ["Catalogue", "Item", "ItemId", "decode_item", "encode_item"]
