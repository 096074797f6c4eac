"""The number of threads of a process: who sets it, and when it is chosen."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from paecli.system import threads
from paecli.system.threads import fitting, keep_threads, parse_threads, threads_in_use, use_threads

VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "PAE_THREADS")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts as a new process does, on two cores, and leaves torch as it was."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(threads._State, "setting", None)
    monkeypatch.setattr(threads._State, "exported", None)
    monkeypatch.setattr(threads._State, "tuners", {})
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def in_new_process(code: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_number_is_taken_as_it_is() -> None:
    use_threads(2)
    assert torch.get_num_threads() == threads_in_use() == 2
    use_threads(1)
    assert torch.get_num_threads() == threads_in_use() == 1


@pytest.mark.parametrize("wrong", [0, -1, 1025])
def test_numbers_out_of_range_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1024"):
        use_threads(wrong)


@pytest.mark.parametrize("text", ["0", "-2", "1025", "two", "", "1.5", "²"])
def test_texts_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="auto or a number"):
        parse_threads(text)


def test_texts() -> None:
    assert parse_threads("auto") == "auto"
    assert parse_threads("3") == 3


def test_the_users_own_number_wins_over_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1,4")
    use_threads("auto")
    assert threads_in_use() == torch.get_num_threads() == 1


def test_our_own_number_does_not_pass_for_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads._State, "exported", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    use_threads("auto")
    assert threads._State.setting == "auto"


def test_auto_times_the_work_and_takes_the_faster_number() -> None:
    use_threads("auto")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        now = [0.0]
        patch.setattr(threads.time, "perf_counter", lambda: now[0])
        for _ in range(12):
            with fitting("work"):
                seen.append(torch.get_num_threads())
                now[0] += 0.5 if torch.get_num_threads() == 1 else 0.8
    assert set(seen[:8]) == {1, 2}
    assert set(seen[8:]) == {1}
    assert threads_in_use("work") == 1


def test_laps_inside_laps_change_nothing() -> None:
    use_threads("auto")
    with fitting("outer"):
        outside = torch.get_num_threads()
        for _ in range(20):
            with fitting("inner"):
                assert torch.get_num_threads() == outside
    assert "inner" not in threads._State.tuners


def test_a_lap_that_fails_is_not_timed() -> None:
    use_threads("auto")
    with pytest.raises(KeyError), fitting("work"):
        raise KeyError
    with fitting("work"):
        pass
    assert threads._State.tuners["work"].threads == 2


def test_without_a_setting_torch_is_left_alone() -> None:
    torch.set_num_threads(2)
    with fitting("work"):
        assert torch.get_num_threads() == 2
    assert threads_in_use() == 2
    assert not threads._State.tuners


def test_a_resumed_run_keeps_its_number_unless_told_otherwise() -> None:
    use_threads("auto")
    keep_threads(1)
    assert threads_in_use() == 1
    use_threads(2)
    keep_threads(1)
    assert threads_in_use() == 2


def test_threads_sleep_before_torch_is_loaded() -> None:
    code = (
        "import os, sys, paecli; paecli.use_threads(); assert 'torch' not in sys.modules; "
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    )
    assert in_new_process(code) == "PASSIVE 2000"


def test_how_the_users_threads_wait_is_not_touched() -> None:
    code = (
        "import os, paecli; paecli.use_threads(); "
        "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    )
    assert in_new_process(code, OMP_WAIT_POLICY="active") == "active None"
    assert in_new_process(code, GOMP_SPINCOUNT="7") == "PASSIVE 7"


def test_a_number_reaches_libraries_that_are_loaded_later() -> None:
    code = "import paecli; paecli.use_threads(1); import torch; print(torch.get_num_threads())"
    assert in_new_process(code) == "1"


def test_importing_the_package_sets_nothing() -> None:
    code = "import os, paecli; print(os.environ.get('OMP_WAIT_POLICY'))"
    assert in_new_process(code) == "None"
