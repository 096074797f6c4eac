from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Tells which texts the figure has that was written last."""
    figures: list[Figure] = []
    save = Figure.savefig

    def remembered(self: Figure, *arguments: Any, **options: Any) -> None:
        save(self, *arguments, **options)
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", remembered)
    return lambda: [each.get_text() for each in figures[-1].findobj(Text) if each.get_visible()]
