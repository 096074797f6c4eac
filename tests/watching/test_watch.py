"""A watched folder: every image answered once, whatever happens to files and process."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from paecli.api import PAE, load
from paecli.data import load_dataset, write_image
from paecli.data.images.files import read_image
from paecli.model.requirements import PIXEL_STATISTICS
from paecli.outliers.drift import DriftDetector
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.system.errors import DataError, WriteError
from paecli.watching import arrivals
from paecli.watching.arrivals import Arrival, Arrivals
from paecli.watching.journal import Journal, Stamp, open_journal
from paecli.watching.watch import TOLERANCE, Watcher, WatchSettings, usual_values

SHAPE = (1, 28, 28)


class Never:
    made = False


class Asked:
    made = False


def answers_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path, blobs: Tensor) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    for index in range(3):
        write_image(folder / f"{index}.png", blobs[500 + index])
    return folder


@pytest.fixture
def watcher_of(trained_pae: PAE) -> Callable[[Journal], Watcher]:
    def make(journal: Journal) -> Watcher:
        settings = WatchSettings("log_prob", baseline=2)
        return Watcher(trained_pae, journal, settings, source="m", emit=lambda answer: None)

    return make


def watch_once(folder: Path, journal_file: Path, make: Callable[[Journal], Watcher]) -> int:
    with open_journal(journal_file, model="m") as journal:
        return make(journal).run(folder, Never(), once=True)


def test_every_image_has_one_answer(
    folder: Path, tmp_path: Path, trained_pae: PAE, watcher_of: Callable[[Journal], Watcher]
) -> None:
    file = tmp_path / "answers.jsonl"
    assert watch_once(folder, file, watcher_of) == 3
    (folder / "0.png").rename(folder / "renamed.png")
    os.utime(folder / "1.png")  # touched
    (folder / "2.png").unlink()
    assert watch_once(folder, file, watcher_of) == 0
    (folder / "sub").mkdir()
    write_image(folder / "sub" / "new.png", torch.rand(SHAPE))
    write_image(folder / "1.png", torch.rand(SHAPE))  # changed
    (folder / ".hidden.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "notes.txt").write_text("no image")
    assert watch_once(folder, file, watcher_of) == 2
    answers = answers_in(file)
    assert [Path(each["path"]).name for each in answers[:3]] == ["0.png", "1.png", "2.png"]
    assert sorted(Path(each["path"]).name for each in answers[3:]) == ["1.png", "new.png"]
    assert answers[-1]["drift"]["images"] == 5
    pixels = read_image(folder / "renamed.png", image_shape=SHAPE).pixels[None]
    assert answers[0]["p_value"] == trained_pae.p_value(pixels, "log_prob").item()


def test_another_image_in_the_state_of_a_deleted_one_is_answered(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher]
) -> None:
    first, second = torch.zeros(SHAPE), torch.zeros(SHAPE)
    first[0, 0, 0], second[0, 0, 1] = 1, 1  # files of the same size
    old, new = folder / "old.bmp", folder / "new.bmp"
    file = tmp_path / "answers.jsonl"
    for path, pixels in ((old, first), (new, second)):
        Image.fromarray((pixels[0] * 255).to(torch.uint8).numpy()).save(path)
        os.utime(path, (1_000_000_000, 1_000_000_000))  # whole seconds, as of cameras
        watch_once(folder, file, watcher_of)
        if path == old:
            content = Stamp.of(old)
            old.unlink()  # most file systems give its number to the next file
    assert Path(answers_in(file)[-1]["path"]) == new
    with open_journal(tmp_path / "b.jsonl", model="m") as journal:
        journal.add(old, content, "a", {"model": "m"})
        assert journal.knows(old, content)
        assert not journal.knows(new, content)
        assert not journal.knows_content(new, "b", content)
        assert journal.knows_content(new, "a", content)  # renamed
        assert journal.knows(new, content)


def test_a_content_that_comes_back_is_answered_again(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher]
) -> None:
    file, changing = tmp_path / "answers.jsonl", folder / "0.png"
    watch_once(folder, file, watcher_of)
    before = changing.read_bytes()
    changing.write_bytes((folder / "1.png").read_bytes())
    assert watch_once(folder, file, watcher_of) == 1
    changing.write_bytes(before)
    assert watch_once(folder, file, watcher_of) == 1


def test_only_regular_files_of_bounded_size_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped, large = folder / "1.png", folder / "2.png"
    monkeypatch.setattr(arrivals, "MOST_BYTES", large.stat().st_size - 1)
    monkeypatch.setattr(arrivals, "PATIENCE", 0.0)

    def swap(seconds: float) -> None:
        if swapped.is_file():
            swapped.unlink()
            os.mkfifo(swapped)

    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        found = Arrivals(folder, journal, SHAPE)
        found.look([large])
        (given_up,) = found.look([])
        assert "2.png: it has more than" in given_up.error
        monkeypatch.setattr(arrivals.time, "sleep", swap)
        assert found.look([swapped]) == []  # and it does not wait for the pipe


SHIPPED = {"fmnist-32": "fmnist-mini", "fmnist-64": "fmnist-mini", "mnist-8": "mnist-mini"}


@pytest.mark.parametrize(("name", "sample"), SHIPPED.items())
def test_a_lamp_that_changed_before_the_first_image_is_told_by_the_pixels(
    name: str, sample: str
) -> None:
    known = usual_values(load(name))
    reference = {each: known[each].tolist() for each in PIXEL_STATISTICS}
    images = load_dataset(sample).test.images[:300] / 255
    brighter = ((1.05 * images).clamp_max(1) * 255).round() / 255
    alarms = []
    for changed in (images, brighter):
        rows = pixel_statistics(changed)
        detector = DriftDetector(reference, tolerance=TOLERANCE, baseline=300)
        for values in zip(*(rows[each].tolist() for each in PIXEL_STATISTICS), strict=True):
            detector.add(dict(zip(PIXEL_STATISTICS, values, strict=True)))
        alarms.append((detector.score, detector.from_start))
    assert alarms == [(None, False), ("saturation", True)]


def test_a_restart_takes_up_the_drift(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher], blobs: Tensor
) -> None:
    two, one = tmp_path / "two.jsonl", tmp_path / "one.jsonl"
    watch_once(folder, two, watcher_of)
    write_image(folder / "z.png", blobs[510])
    watch_once(folder, two, watcher_of)
    watch_once(folder, one, watcher_of)
    assert answers_in(two)[-1]["drift"] == answers_in(one)[-1]["drift"]


def test_half_written_files_are_waited_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (folder / "0.png").read_bytes()
    half = folder / "half.png"
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        found = Arrivals(folder, journal, SHAPE)
        half.write_bytes(content[:100])
        assert found.look([half]) == []
        assert found.waiting == 1
        half.write_bytes(content)
        (arrived,) = found.look([])
        assert arrived.path == half
        assert arrived.pixels is not None
        assert found.waiting == 0
        half.write_bytes(content[:90])
        assert found.look([half]) == []
        monkeypatch.setattr(arrivals, "PATIENCE", 0.0)
        (given_up,) = found.look([])
        assert given_up.pixels is None
        assert "half.png" in given_up.error
        half.write_bytes(content[:80])
        found.look([half])
        half.unlink()
        assert found.look([]) == []
        assert found.waiting == 0


def test_a_file_that_is_still_growing_is_no_arrival(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = folder / "0.png"

    def grow(seconds: float) -> None:
        with grown.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(arrivals.time, "sleep", grow)
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        found = Arrivals(folder, journal, SHAPE)
        assert found.look([grown]) == []
        assert found.waiting == 1


def watch_beside(
    job: Callable[[], None],
    folder: Path,
    file: Path,
    watcher_of: Callable[[Journal], Watcher],
    stop: Asked,
) -> None:
    """Watches a folder, answers into a file, while `job` runs, which asks it to stop."""
    thread = threading.Thread(target=job)
    thread.start()
    with open_journal(file, model="m") as journal:
        watcher_of(journal).run(folder, stop)
    thread.join()


def test_images_that_appear_are_answered_while_it_runs(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher], blobs: Tensor
) -> None:
    file = tmp_path / "answers.jsonl"
    stop = Asked()

    def add() -> None:
        deadline = time.monotonic() + 60
        wanted = 3
        while time.monotonic() < deadline:
            if file.exists() and len(file.read_text().splitlines()) >= wanted:
                if wanted == 5:
                    break
                write_image(folder / f"later-{wanted}.png", blobs[520 + wanted])
                wanted += 1
            time.sleep(0.02)
        stop.made = True

    watch_beside(add, folder, file, watcher_of, stop)
    assert len(answers_in(file)) == 5


def within(seconds: float, found: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found():
            return True
        time.sleep(0.02)
    return False


def taken(rounds: Iterator[list[Arrival]], journal: Journal) -> list[Path]:
    """Answers the next round."""
    arrived = next(rounds)
    for each in arrived:
        journal.add(each.path, each.stamp, each.sha256, {"model": "m"})
    return [each.path for each in arrived]


def test_a_folder_that_is_removed_and_made_again_is_watched_on(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher], blobs: Tensor
) -> None:
    file = tmp_path / "answers.jsonl"
    stop = Asked()
    seen = []

    def count(wanted: int) -> None:
        seen.append(within(20, lambda: file.exists() and file.read_bytes().count(b"\n") >= wanted))

    def exchange() -> None:
        count(3)
        folder.rename(tmp_path / "away")
        time.sleep(0.5)
        folder.mkdir()
        write_image(folder / "at-once.png", blobs[530])
        count(4)
        write_image(folder / "later.png", blobs[531])
        count(5)
        stop.made = True

    watch_beside(exchange, folder, file, watcher_of, stop)
    assert seen == [True, True, True]


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_where_the_system_tells_of_no_changes_it_looks_often(
    kind: type[Exception],
    folder: Path,
    tmp_path: Path,
    blobs: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def used_up(*paths: Path, **options: Any) -> Iterator[Any]:
        raise kind("OS file watch limit reached.")
        yield

    monkeypatch.setattr(arrivals, "watch", used_up)
    monkeypatch.setattr(arrivals, "RETRY", 0.3)
    monkeypatch.setattr(arrivals, "OFTEN", 0.2)
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        rounds = Arrivals(folder, journal, SHAPE).rounds(Never())
        assert len(taken(rounds, journal)) == 3
        write_image(folder / "new.png", blobs[530])
        found: list[Path] = []
        assert within(20, lambda: bool(found.extend(taken(rounds, journal)) or found))
        assert found == [folder / "new.png"]
    assert caplog.text.count("is looked at every second") == 1


def test_a_name_that_is_not_utf8_does_not_end_the_watch(
    folder: Path, tmp_path: Path, blobs: Tensor
) -> None:
    odd = os.fsdecode(os.fsencode(folder) + b"/odd\xff.png")
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        rounds = Arrivals(folder, journal, SHAPE).rounds(Never())
        assert len(taken(rounds, journal)) == 3
        write_image(tmp_path / "odd.png", blobs[531])
        (tmp_path / "odd.png").rename(odd)
        write_image(folder / "new.png", blobs[530])
        found: list[Path] = []
        assert within(20, lambda: len(found.extend(taken(rounds, journal)) or found) == 2)
        assert set(map(str, found)) == {odd, str(folder / "new.png")}


def test_what_no_event_told_of_is_found_and_looked_for_often_from_then_on(
    folder: Path,
    tmp_path: Path,
    blobs: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def silent(*paths: Path, **options: Any) -> Iterator[Any]:  # as on a network disk
        while True:
            yield set()

    monkeypatch.setattr(arrivals, "watch", silent)
    monkeypatch.setattr(arrivals, "RESCAN", 0.1)
    monkeypatch.setattr(arrivals, "LATE", 0.05)
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        rounds = Arrivals(folder, journal, SHAPE).rounds(Never())
        assert len(taken(rounds, journal)) == 3
        time.sleep(0.2)
        assert taken(rounds, journal) == []
        assert "every second" not in caplog.text
        write_image(folder / "new.png", blobs[530])
        time.sleep(0.2)
        assert taken(rounds, journal) == [folder / "new.png"]
    assert "some changes in" in caplog.text


def test_a_folder_that_is_moved_in_with_its_images_is_looked_into_at_once(
    folder: Path, tmp_path: Path, blobs: Tensor
) -> None:
    write_image(tmp_path / "whole" / "inside.png", blobs[530])
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        rounds = Arrivals(folder, journal, SHAPE).rounds(Never())
        assert len(taken(rounds, journal)) == 3
        (tmp_path / "whole").rename(folder / "whole")
        found: list[Path] = []
        assert within(10, lambda: bool(found.extend(taken(rounds, journal)) or found))
        assert found == [folder / "whole" / "inside.png"]


def test_of_many_files_some_are_answered_before_the_others_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "AT_ONCE", 2)
    stop = Asked()
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        found = Arrivals(folder, journal, SHAPE)
        rounds = found.rounds(stop)
        first = next(rounds)
        assert [each.path.name for each in first] == ["0.png", "1.png"]
        assert found.waiting == 1
        (folder / "2.png").rename(folder / "3.png")
        stop.made = True
        assert list(rounds) == []  # the end does not wait for all of them
        stop.made = False
        (last,) = found.look([folder / "3.png"])
        assert last.path.name == "3.png"


def test_a_torn_line_is_cut_off(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher]
) -> None:
    file = tmp_path / "answers.jsonl"
    watch_once(folder, file, watcher_of)
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert watch_once(folder, file, watcher_of) == 1
    before = json.loads(whole.splitlines()[-1])
    again = answers_in(file)
    assert len(again) == 3
    assert again[-1]["path"] == before["path"]
    assert again[-1]["score"] == pytest.approx(before["score"], rel=1e-4)  # scored alone now


@pytest.mark.parametrize(
    "content",
    [b"notes\n", b'{"a": 1}\n', b"words", b"[]\n", b'{"a": 1}', b'{"path": "mine"}'],
)
def test_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match="was not written by `pae watch`"):
        open_journal(file, model="m").__enter__()
    assert file.read_bytes() == content


def test_one_process_a_journal_and_one_model(
    folder: Path, tmp_path: Path, watcher_of: Callable[[Journal], Watcher]
) -> None:
    file = tmp_path / "answers.jsonl"
    watch_once(folder, file, watcher_of)
    with (
        open_journal(file, model="m"),
        pytest.raises(DataError, match="another pae is writing"),
    ):
        open_journal(file, model="m").__enter__()
    with pytest.raises(DataError, match="answers of another model"):
        open_journal(file, model="n").__enter__()
    with pytest.raises(WriteError, match="choose another place"):
        open_journal(folder / "0.png" / "a.jsonl", model="m").__enter__()


def test_a_full_disk_loses_nothing(tmp_path: Path, folder: Path) -> None:
    stamp = Stamp.of(folder / "0.png")
    with open_journal(tmp_path / "a.jsonl", model="m") as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        kept, journal._handle = journal._handle, full
        with pytest.raises(WriteError, match="nothing is lost"):
            journal.add(folder / "0.png", stamp, "0", {})
        journal._handle = kept
        os.close(full)
        assert not journal.knows(folder / "0.png", stamp)


# Imports torch once, and runs a watcher in a child for every line that it is sent.
SERVER = """
import os, sys
from pathlib import Path
from paecli.store.runs import load_with_header
from paecli.system.interruption import StopRequest
from paecli.watching.journal import open_journal
from paecli.watching.watch import TOLERANCE, Watcher, WatchSettings, usual_values

model, folder, file = sys.argv[1:]
pae = load_with_header(model)[0]
for _ in sys.stdin:
    child = os.fork()
    if not child:
        with StopRequest() as stop, open_journal(Path(file), model="m") as journal:
            settings = WatchSettings("log_prob")
            watcher = Watcher(pae, journal, settings, source="m", emit=lambda answer: None)
            watcher.run(Path(folder), stop)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_killed_at_random_moments_nothing_is_lost_or_twice(
    folder: Path, tmp_path: Path, model_file: Path, blobs: Tensor
) -> None:
    for index in range(200):
        write_image(folder / f"many-{index:03}.png", blobs[300 + index])
    file = tmp_path / "answers.jsonl"
    draws = random.Random(0)

    def lines() -> int:
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def run_until(count: int, number: int) -> int:
        """Starts a watcher, sends it a signal after so many lines, and returns how it ended."""
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("go\n")
        server.stdin.flush()
        child = int(server.stdout.readline())
        deadline = time.monotonic() + 60
        while lines() < count and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(child, number)
        return int(server.stdout.readline())

    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(model_file), str(folder), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
    ) as server:
        for _ in range(4):
            assert run_until(lines() + draws.randrange(1, 40), signal.SIGKILL) == signal.SIGKILL
        assert run_until(203, signal.SIGTERM) == 0
    paths = [each["path"] for each in answers_in(file)]
    assert len(paths) == len(set(paths)) == 203


class Rounds:
    """Stands for `Arrivals`: what comes in each round, and how many files are not whole yet."""

    def __init__(self, *rounds: tuple[list[Arrival], int]) -> None:
        self.coming, self.waiting = list(rounds), 0

    def __call__(self, *_arguments: object) -> "Rounds":
        return self

    def rounds(self, _stop: object) -> Iterator[list[Arrival]]:
        while self.coming:
            arrived, self.waiting = self.coming.pop(0)
            yield arrived


@pytest.mark.parametrize(("once", "answered", "left"), [(True, 2, 1), (False, 3, 0)])
def test_once_ends_when_nothing_came_and_nothing_is_waited_for(
    once: bool,
    answered: int,
    left: int,
    tmp_path: Path,
    watcher_of: Callable[[Journal], Watcher],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one(name: str) -> list[Arrival]:
        return [Arrival(tmp_path / name, Stamp(0, 0, 0), name, None, "broken")]

    rounds = Rounds((one("a"), 0), ([], 1), (one("b"), 0), ([], 0), (one("c"), 0))
    monkeypatch.setattr("paecli.watching.watch.Arrivals", rounds)
    with open_journal(tmp_path / "j.jsonl", model="m") as journal:
        assert watcher_of(journal).run(tmp_path, Never(), once=once) == answered
    assert len(rounds.coming) == left


def test_an_answer_is_made_of_the_model_s_own_figures(
    folder: Path, tmp_path: Path, trained_pae: PAE
) -> None:
    given: list[dict[str, Any]] = []
    with open_journal(tmp_path / "j.jsonl", model="m") as journal:
        settings = WatchSettings("log_prob", fpr=0.2, baseline=0)
        watcher = Watcher(trained_pae, journal, settings, source="m", emit=given.append)
        watcher.run(folder, Never(), once=True)
    images = torch.stack([
        read_image(folder / f"{index}.png", image_shape=SHAPE).pixels for index in range(3)
    ])  # fmt: skip
    scores, p_values = trained_pae.score(images), trained_pae.p_value(images)
    for index, answer in enumerate(given):
        assert (
            answer["score"] == answer["scores"]["log_prob"] == pytest.approx(scores[index].item())
        )
        assert answer["p_value"] == p_values[index].item()
        assert answer["outlier"] == (answer["p_value"] <= 0.2)
        assert answer["scores"]["brightness"] == pytest.approx(images[index].mean().item())
        assert answer["drift"]["images"] == index + 1
        assert answer["drift"]["alarm"] is None


def test_what_cannot_be_read_is_answered_in_its_place(
    tmp_path: Path, trained_pae: PAE, blobs: Tensor
) -> None:
    given: list[dict[str, Any]] = []
    stamps = [Stamp(number, 1, number) for number in range(3)]
    with open_journal(tmp_path / "j.jsonl", model="m") as journal:
        settings = WatchSettings("log_prob", baseline=0)
        watcher = Watcher(trained_pae, journal, settings, source="m", emit=given.append)
        watcher.answer([
            Arrival(tmp_path / "a.png", stamps[0], "0", blobs[500]),
            Arrival(tmp_path / "b.png", stamps[1], "1", None, "b.png is empty"),
            Arrival(tmp_path / "c.png", stamps[2], "2", blobs[501]),
        ])  # fmt: skip
        assert all(journal.knows(Path(each["path"]), stamp)
                   for each, stamp in zip(given, stamps, strict=True))  # fmt: skip
    assert given[1] == {"path": str(tmp_path / "b.png"), "error": "b.png is empty"}
    assert [Path(each["path"]).name for each in given] == ["a.png", "b.png", "c.png"]
    scores = trained_pae.score(blobs[500:502])
    assert [given[0]["score"], given[2]["score"]] == pytest.approx(scores.tolist())
    assert given[2]["drift"]["images"] == 2
    lines = answers_in(tmp_path / "j.jsonl")
    assert [line["model"] for line in lines] == ["m"] * 3
