"""Titles, categories and price levels of the made-up shop of `sample_data`."""

from typing import NamedTuple


class Category(NamedTuple):
    """A category: its name, the department above it, its middle price, and what its things are called."""

    name: str
    department: str
    price: float
    nouns: tuple[str, ...]


CATEGORIES = (
    Category("lamps", "home", 45, ("desk lamp", "floor lamp", "reading lamp", "pendant light", "lantern")),
    Category("chairs", "home", 120, ("armchair", "stool", "rocking chair", "bench", "office chair")),
    Category("textiles", "home", 35, ("blanket", "cushion", "rug", "curtain", "bedspread")),
    Category("cookware", "kitchen", 40, ("frying pan", "stock pot", "casserole", "wok", "baking tray")),
    Category("tableware", "kitchen", 22, ("bowl", "teapot", "mug", "plate", "jug")),
    Category("coffee", "kitchen", 60, ("coffee grinder", "espresso maker", "milk frother", "kettle", "coffee press")),
    Category("garden", "outdoor", 30, ("watering can", "planter", "trowel", "bird house", "garden chair")),
    Category("camping", "outdoor", 80, ("tent", "sleeping bag", "backpack", "camp stove", "hammock")),
    Category("cycling", "outdoor", 55, ("bike light", "helmet", "saddle", "pannier", "floor pump")),
    Category("audio", "electronics", 110, ("headphones", "speaker", "record player", "radio", "microphone")),
    Category("games", "leisure", 28, ("board game", "puzzle", "card game", "chess set", "dice tower")),
    Category("paper", "leisure", 12, ("notebook", "sketchbook", "calendar", "fountain pen", "pencil case")),
)

STYLES = (
    "Walnut", "Linen", "Copper", "Blue", "Folding", "Nordic", "Vintage", "Compact", "Ceramic", "Striped", "Brass",
    "Forest green", "Handmade", "Light", "Round", "Grey", "Bamboo", "Classic", "Sunny", "Midnight",
)  # fmt: skip


def title(number: int) -> str:
    """The title of item `number`, different for the first 1,200 items and numbered from there on.

    >>> title(0), title(13), title(1200)
    ('Walnut desk lamp', 'Walnut stool', 'Walnut desk lamp No. 2')
    """
    category = CATEGORIES[number % len(CATEGORIES)]
    turn = number // len(CATEGORIES)
    noun = category.nouns[turn % len(category.nouns)]
    turn //= len(category.nouns)
    name = f"{STYLES[turn % len(STYLES)]} {noun}"
    series = turn // len(STYLES) + 1
    return name if series == 1 else f"{name} No. {series}"
