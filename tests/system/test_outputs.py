from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from paecli.report.map_places import map_names
from paecli.restoration.picture_files import folders_for
from paecli.system.outputs import distinct_names

NAMES = st.lists(
    st.sampled_from(["a", "a.png", "a.jpg", "a.png.gif", "b.png", "d/a.png", "d/a"]),
    unique=True,
    min_size=1,
)


def test_a_suffix_is_dropped_where_nobody_else_is_called_so() -> None:
    given = ["a.png", "b.png", "b.jpg", "c.png", "c.png.gif"]
    found = distinct_names([Path(name) for name in given])
    assert [str(name) for name in found.values()] == ["a", "b.png", "b.jpg", "c", "c.png.gif"]


@given(NAMES)
def test_no_two_images_share_a_place(names: list[str]) -> None:
    paths = [Path("/in") / name for name in names]
    for places in (map_names(paths), folders_for(paths, Path("/"), Path("/out"))):
        assert len(set(places.values())) == len(paths)


def test_long_names_give_places_that_a_disk_takes() -> None:
    paths = [Path("/in") / f"{251 * letter}.png" for letter in ("a", "b", "c")]
    paths += [Path("/in") / f"{250 * 'c'}d.png", Path("/in") / f"{120 * 'ü'}.png"]
    names = [place.name for place in map_names(paths).values()]
    assert max(len(name.encode()) for name in names) <= 255
    assert len(set(names)) == len(names)
