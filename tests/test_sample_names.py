"""Titles of the made-up shop."""

from reco_stream.sample_names import CATEGORIES, title


def test_titles_differ() -> None:
    assert len({title(number) for number in range(5_000)}) == 5_000


def test_a_title_names_a_thing_of_its_category() -> None:
    for number in range(300):
        nouns = CATEGORIES[number % len(CATEGORIES)].nouns
        assert any(title(number).endswith(noun) for noun in nouns)


def test_categories_have_names_of_their_own_and_prices() -> None:
    assert len({category.name for category in CATEGORIES}) == len(CATEGORIES)
    assert all(category.price > 0 for category in CATEGORIES)
