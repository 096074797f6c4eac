"""`pae ood --against`: sets compared, and the table of them printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.compare_sets import SetComparison, SetResult, compare_sets
from paecli.report.ood_tables import COMPARISON_COLUMNS, comparison_rows
from paecli.store.runs import load_with_header
from paecli.system.cores import process_index


def compare(
    file: Path,
    against: Sequence[str],
    *,
    scores: Sequence[str] | None,
    data_dir: Path | None,
    limit: int | None,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Compares the sets, prints the table and writes what was asked for."""
    model, header = load_with_header(file)
    comparison = compare_sets(
        model,
        header,
        against,
        scores=scores or FAST_SCORES,
        data_dir=data_dir,
        limit=limit,
        seed=seed,
        progress=RichProgress(),
    )
    print_comparison(comparison)
    if report and process_index() == 0:
        from paecli.report.ood_plots import write_comparison

        say(f"Report: {write_comparison(comparison, report)}")
    if as_json:
        print_json(comparison_fields(comparison))


def print_comparison(comparison: SetComparison) -> None:
    """Prints the table of sets and scores."""
    reference = comparison.reference.name
    title = f"Against {comparison.reference_count:,} test images of {reference} (± 95 % bootstrap)"
    print_table(title, COMPARISON_COLUMNS, comparison_rows(comparison.results))


def comparison_fields(comparison: SetComparison) -> dict[str, Any]:
    """Returns the JSON object of `pae ood --against`."""
    return {
        "in_distribution": {
            "dataset": comparison.reference.name,
            "images": comparison.reference_count,
            "substitute_for": comparison.reference.substitute_for or None,
        },
        "results": [_result_fields(result) for result in comparison.results],
        "seconds": round(comparison.seconds, 3),
    }


def _result_fields(result: SetResult) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "dataset": result.dataset,
        "substitute_for": result.substitute_for or None,
        "score": result.score,
        "images": result.images,
        "auroc": metrics.auroc,
        "auroc_ci": metrics.auroc_ci,
        "aupr": metrics.aupr,
        "aupr_ci": metrics.aupr_ci,
        "fpr95": metrics.fpr95,
        "fpr95_ci": metrics.fpr95_ci,
    }
