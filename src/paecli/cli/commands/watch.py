"""`pae watch`: scores what appears in a folder."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from paecli.cli.console import print_json, say
from paecli.cli.options import ModelOption, Seed, Threads
from paecli.model.requirements import DEFAULT_SCORE, FAST_SCORES, require_reference_scores
from paecli.system.errors import DataError, UsageError
from paecli.system.folders import cache_folder
from paecli.system.names import counted


def watch(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder, with all below it.")
    ],
    model: ModelOption = None,
    score: Annotated[str, typer.Option(help="The score behind the p-values; a fast one.")] = (
        DEFAULT_SCORE
    ),
    fpr: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of in-distribution images that may be flagged by mistake."
        ),
    ] = 0.05,
    false_alarm: Annotated[
        float,
        typer.Option(
            "--false-alarm",
            min=1e-9,
            max=0.5,
            help="Chance that drift is ever reported without any, however long this runs.",
        ),
    ] = 0.001,
    baseline: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="Compare so many first images with the model's held-out images, too, as they may "
            "have changed before they came. 0: all, which finds small, harmless differences, too.",
        ),
    ] = 500,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            "--jsonl",
            metavar="FILE",
            help="Write the lines to this file instead of standard output. It is also what this "
            "remembers: every image is in it exactly once.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE",
            help="Where to remember what was printed. Default: a file in the cache, one for each "
            "folder, model and score.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when everything that is there has an answer.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = "1",
) -> None:
    """Scores images as they appear in a folder: a JSON line each, once; tells drift from outliers.

    Half-written files are waited for, renamed ones keep their answer, changed ones get another.
    After a restart, or a kill, it goes on where it was. Ctrl-C or SIGTERM ends it. Needs the
    extra `paecli[watch]`.

    Examples:

        pae watch incoming/ --jsonl answers.jsonl

        pae watch incoming/ --model runs/parts --false-alarm .0001 | my-program
    """
    from paecli.cli.checks import check_model, flagging_rate, require_extra

    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; make it, or check the path")
    if score not in FAST_SCORES:
        raise UsageError(f"no fast score {score!r}; choose one of {', '.join(FAST_SCORES)}")
    if jsonl is not None and state is not None:
        raise UsageError("--state would do nothing here: --jsonl remembers by itself")
    contents = check_model(model)
    require_reference_scores(score, contents.reference_scores)
    fpr = flagging_rate(context, contents, fpr, contents.reference_scores[score])
    require_extra("watch")
    from paecli.store.runs import load_with_header
    from paecli.system.files import hash_file
    from paecli.system.interruption import StopRequest
    from paecli.watching.journal import open_journal
    from paecli.watching.watch import Watcher, WatchSettings

    source = f"{hash_file(contents.path)[:16]}-{score}"
    key = hashlib.sha256(os.fsencode(f"{folder.resolve()} {source}")).hexdigest()[:16]
    journal_file = jsonl or state or cache_folder() / "watch" / f"{key}.jsonl"
    with StopRequest() as stop, open_journal(journal_file, model=source) as journal:
        watcher = Watcher(
            load_with_header(contents.path)[0],
            journal,
            WatchSettings(score, fpr, false_alarm, baseline, seed),
            source=source,
            emit=_report if jsonl else _report_and_print,
        )
        say(
            f"Watching {folder}; {counted(journal.count, 'answer')} given before. "
            f"Remembered in {journal_file}."
        )
        answered = watcher.run(folder, stop, once=once)
    say(f"{counted(answered, 'image')} answered.")


def _report(answer: dict[str, Any]) -> None:
    """Says when drift is found."""
    drift = answer.get("drift")
    if drift and drift["alarm"] == drift["images"] and drift["alarm"]:
        than = "those held out in training" if drift["from_start"] else "those before"
        say(
            f"Drift: the images are drawn otherwise than {than} (told by {drift['score']}, "
            f"after {drift['alarm']:,} images). Look at them; `pae recalibrate` if they are good."
        )


def _report_and_print(answer: dict[str, Any]) -> None:
    print_json(answer)
    _report(answer)
