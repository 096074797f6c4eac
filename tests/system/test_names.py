import pytest

from paecli.system.names import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (2000, "2,000 images")]
)
def test_one_thing_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "image") == text


def test_words_with_a_plural_of_their_own() -> None:
    assert counted(2, "entry", "entries") == "2 entries"
