import pytest
import yaml

from paecli.system.yaml_text import parse_yaml


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: 1\nb: {c: 1, d: 2, c: 3}",
        "- {x: 1, 'x': 2}",
        "1: one\n1.0: one too",
        "yes: 1\ntrue: 2",
        "? [a]\n: 1",  # no key of a mapping at all
    ],
)
def test_keys_are_given_once(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize("number", ["010", "-010", "0_7", "1:30", "190:20:30", "1:30.5", "+1:30"])
def test_numbers_of_another_base_are_refused(number: str) -> None:
    with pytest.raises(yaml.YAMLError, match="would be read as another number"):
        parse_yaml(f"a: {number}")


def test_plain_numbers_are_read() -> None:
    text = "a: [0, 10, -3, 1_000, 0x10, 0.5, -0.25, .5, 1.0e-3, 1e-3, '010']"
    assert parse_yaml(text) == {"a": [0, 10, -3, 1000, 16, 0.5, -0.25, 0.5, 1e-3, "1e-3", "010"]}


def test_the_same_key_in_two_sections_is_fine() -> None:
    assert parse_yaml("a: {x: 1}\nb: {x: 2}\nc: [{x: 1}, {x: 1}]") == {
        "a": {"x": 1}, "b": {"x": 2}, "c": [{"x": 1}, {"x": 1}],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: &x 1\nb: *x", "a: !!python/name:os.system x", "[" * 5000])
def test_aliases_tags_and_depth_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)
