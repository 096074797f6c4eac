"""The rules of the house: who imports whom, how long things are, what is public."""

import ast
import re
import runpy
from collections import Counter
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path
from statistics import median, quantiles

import pytest

import paecli

PACKAGE = Path(paecli.__file__).parent
ROOT = Path(__file__).parent.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A layer may import itself, where it is a folder, and all layers below it.
LAYERS = runpy.run_path(str(ROOT / "tools" / "architecture.py"))["LAYERS"]
# What may be imported inside a function of the library, and why.
LATE = {
    "torch.utils.tensorboard": "only `--log tensorboard` needs it",
    "torchvision": "takes a second, and only downloads and CIFAR-10 need it",
    "torchvision.datasets": "as torchvision",
    "torch": "`pae doctor` asks it only where there may be a GPU",
    "accelerate": "as torch",
    "scipy.stats": "takes half a second, and only `--fdr` needs it",
    "paecli.training.loop": "as torch",
    "paecli.training.mixture_fit": "brings scikit-learn, which few flows need",
    "huggingface_hub": "only `hf://` registries need it",
    "pooch.downloaders": "only `doi:` registries need it",
    "paecli.store.web": "brings requests, which models on this machine do not need",
    "paecli.store.http_answers": "as paecli.store.web",
}
# Everything else is mathematics, or leaves files to these.
MAY_TOUCH_THE_DISK = {
    "api.py", "demo.py", "diagnosis/compute.py", "diagnosis/diagnose.py", "sampling.py",
    "data/datasets.py", "data/folder.py", "data/memory.py", "data/model_data.py",
    "data/dataset_names.py", "data/moved_folders.py", "data/sharing.py", "training/images.py",
    "data/images/decoded.py", "data/images/files.py",
    "data/images/lists.py",
    "data/images/listing.py", "data/images/opening.py", "data/images/photographs.py",
    "data/images/truth_masks.py", "data/sets/archives.py",
    "data/sets/downloads.py", "data/split_folders.py", "data/substitute.py", "data/sample_files.py",
    "restoration/masks/files.py", "system/outputs.py",
    "data/sets/idx.py", "data/sets/locations.py", "data/sets/readers.py",
    "evaluation/evaluate.py", "evaluation/sample_quality.py", "evaluation/features/cache.py",
    "evaluation/features/opening.py", "evaluation/compare_folders.py", "evaluation/image_sets.py",
    "watching/arrivals.py", "watching/journal.py", "watching/watch.py",
    "export/__init__.py", "export/compare.py", "export/export.py", "export/onnx_file.py",
    "outliers/compare_sets.py", "outliers/comparison_sets.py",
    "outliers/flag_images.py", "outliers/flag_tiles.py", "outliers/score_files.py",
    "outliers/flag_photographs.py", "outliers/map_images.py", "outliers/residual_maps.py",
    "restoration/samplers/kept_draws.py",
    "restoration/files.py", "restoration/reading.py", "restoration/noise_maps.py",
    "restoration/larger/sizes.py", "restoration/picture_files.py",
    "restoration/guarantee/held_out.py",
    "restoration/masks/shapes.py", "data/images/partners.py",
    "serve/address.py", "serve/answers.py", "serve/finding.py", "serve/run.py",
    "store/cache.py", "store/checkpoint.py", "store/contents.py", "store/describe.py",
    "store/feature_weights.py", "store/find_model.py", "store/header.py", "store/obtain.py",
    "store/patch_checkpoint.py", "store/publishing/publication_plan.py",
    "store/publishing/publish.py",
    "store/registry.py", "store/runs.py", "store/sources.py", "store/voices_file.py",
    "store/http_answers.py", "store/web.py",
    "system/cores.py", "system/csv_text.py", "system/destination.py",
    "system/temporary.py",
    "system/files.py", "system/folders.py", "system/locks.py", "system/threads.py",
    "system/yaml_text.py", "training/autoencoder.py", "training/flow.py",
    "training/history.py", "training/loop.py",
    "training/patches/feature_maps.py", "training/patches/flow_trainer.py",
    "training/patches/jobs.py", "training/run.py",
    "training/run_folder.py", "training/settings.py", "training/state.py",
}  # fmt: skip
DISK = {
    "pathlib",
    "os",
    "io",
    "tempfile",
    "shutil",
    "zipfile",
    "tarfile",
    "safetensors",
    "filelock",
}
NOT_IN_MATHEMATICS = {"typer", "rich", "yaml", "pydantic", "sys", *DISK}
LONGEST_FILE = 400
MOST_FILES = 18  # in a folder, without `__init__`
LEAST_LINES = 40  # of a module that one other imports


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def layer_of(name: str) -> int | None:
    """Returns the number of the layer that a module or file of the package belongs to."""
    first = name.split(".")[0]
    return next((rank for rank, layer in enumerate(LAYERS) if first in layer), None)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


def imported_modules(tree: ast.AST) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            modules.add(node.module or "")
            # `from paecli.data import folder` names a module, too
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name for name in names if name.removeprefix("paecli.") in MODULES}
    return modules


def own_imports(file: Path) -> set[str]:
    """Returns the modules of the package that a file imports, anywhere in it."""
    modules = imported_modules(ast.parse(file.read_text()))
    return {module.removeprefix("paecli.") for module in modules if module.startswith("paecli.")}


def function_lengths(file: Path) -> list[int]:
    """Lines of each function's body, without its docstring."""
    lengths = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body:
            lengths.append((node.end_lineno or 0) - body[0].lineno + 1)
    return lengths


@pytest.mark.parametrize("file", [f for f in FILES if f.parent != PACKAGE], ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    own = layer_of(module_of(file))
    if own is None:  # the package itself and `__main__`
        assert module_of(file) in ("__init__", "__main__")
        return
    folder = module_of(file).split(".")[0]
    for used in own_imports(file):
        rank = layer_of(used)
        assert rank is not None, f"{used} belongs to no layer"
        assert rank > own or used.split(".")[0] == folder, f"{used} is not below {folder}"


def test_no_circle_of_imports() -> None:
    used = {name: own_imports(file) & MODULES.keys() - {name} for name, file in MODULES.items()}
    assert list(TopologicalSorter(used).static_order())


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_stand_at_the_top(file: Path) -> None:
    if module_of(file).startswith("cli") or file.name == "__init__.py":
        return  # `pae --help` is free of torch
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef):
            assert imported_modules(function) <= LATE.keys()


def touches_the_disk(file: Path) -> bool:
    """Tells whether a file imports what can, or calls `open` or `print`."""
    tree = ast.parse(file.read_text())
    names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name)}  # fmt: skip
    used = {module.split(".")[0] for module in imported_modules(tree)}
    return bool(used & DISK or names & {"print", "open"})


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_few_modules_touch_the_disk(file: Path) -> None:
    if module_of(file).split(".")[0] in ("cli", "report"):
        return
    assert not touches_the_disk(file) or name_of(file) in MAY_TOUCH_THE_DISK


def test_modules_that_may_touch_the_disk_do() -> None:
    assert {name_of(file) for file in FILES if touches_the_disk(file)} >= MAY_TOUCH_THE_DISK


@pytest.mark.parametrize("file", sorted((PACKAGE / "model").rglob("*.py")), ids=name_of)
def test_the_model_is_pure_mathematics(file: Path) -> None:
    modules = imported_modules(ast.parse(file.read_text()))
    assert not {module.split(".")[0] for module in modules} & NOT_IN_MATHEMATICS


def test_leaves_do_without_torch() -> None:
    for file in (PACKAGE / "system").glob("*.py"):
        assert "torch" not in imported_modules(ast.parse(file.read_text())), file


def test_folders_hold_few_files() -> None:
    # a file for each command: their number is that of the lines in the README's table
    for folder in {file.parent for file in FILES} - {PACKAGE / "cli" / "commands"}:
        assert len([file for file in folder.glob("*.py") if file.stem != "__init__"]) <= MOST_FILES


def test_no_scrap_of_a_module() -> None:
    importers = Counter(used for file in FILES for used in own_imports(file) & MODULES.keys())
    scraps = {
        name
        for name, file in MODULES.items()
        if importers[name] == 1
        and file.stem != "__init__"
        and len(file.read_text().splitlines()) < LEAST_LINES
    }
    assert not scraps


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


def test_functions_stay_short() -> None:
    lengths = [length for file in FILES for length in function_lengths(file)]
    assert median(lengths) <= 10
    assert quantiles(lengths, n=10)[-1] <= 25


def test_no_source_file_unpickles() -> None:
    for file in FILES:
        text = file.read_text("utf-8")
        assert not re.search(r"^\s*(import|from) (cPickle|dill|joblib|shelve)\b", text, re.M)
        # the name of its error may be caught: torch.load raises it for refused files
        assert not re.search(r"\b[Pp]ickle\w*\.(?!UnpicklingError)|from pickle import", text)
        assert "allow_pickle=True" not in text
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, f"{file}: {call}"


def test_public_names() -> None:
    assert paecli.__all__ == ["PAE", "PaeError", "__version__", "load", "use_threads"]
    assert all(getattr(paecli, name) for name in paecli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        paecli.lode  # noqa: B018


def test_newest_release_in_the_changelog_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert releases[0] == paecli.__version__


def test_types_are_published() -> None:
    assert (resources.files("paecli") / "py.typed").is_file()
