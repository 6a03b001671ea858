from __future__ import annotations

import pytest

from reco_stream.catalogue import Item
from reco_stream.catalogue.expression import BadExpression, Expression

LAMP = Item(
    item_id="a",
    title="Blue lamp",
    categories=("light",),
    tags=("new", "sale"),
    price=9.5,
    stock=3,
    published_at="2024-01-01T00:00:00Z",
    properties={"colour": "blue", "watts": 40},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 10.0", True),
        ("price < 10 && stock >= 3", True),
        ('"light" in categories || "x" in tags', True),
        ('tags.exists(t, t.startsWith("sa"))', True),
        ('properties.colour == "blue"', True),
        ("properties.height > 3", False),
        ("has(properties.height) || properties.watts == 40", True),
        ('title.matches("^(a+)+$")', False),
        ("published_ms > 1704000000000", True),
        ('currency == "EUR"', False),
        ("currency == null", True),
    ],
)
def test_expressions_over_an_item(text: str, expected: bool) -> None:
    assert Expression(text).accepts(LAMP) is expected


def test_an_item_without_the_field_does_not_pass() -> None:
    assert not Expression("price < 10.0").accepts(Item(item_id="b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "price <",
        "colour == 'x'",
        "price",
        "price + 'x' == 1",
        '__import__("os").system("x") == 1',
        "open('/etc/passwd') == ''",
        "x" * 501,
        "tags.exists(a, tags.exists(b, a == b))",
        "while true: pass",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(BadExpression) as refused:
        Expression(text)
    assert len(str(refused.value)) < 400
