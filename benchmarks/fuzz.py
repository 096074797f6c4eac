"""Coverage-guided fuzzing of everything that reads files from elsewhere.

    pip install atheris      # CPython 3.11 to 3.13; not a dependency of pae
    python benchmarks/fuzz.py [TARGET ...] [--seconds 600] [--rounds 1] [--keep FOLDER]

`values` changes the numbers in a model and uses it; `commands` runs whole commands on models with a
changed header, and `statistics` reads what `pae fid` takes in the place of a folder.

A target gets bytes that libFuzzer (through atheris) makes up and mutates, writes them to a file
and reads that file as pae does. Good ends are a result or a `PaeError` of one line. Findings are
any other exception, a file outside its folder, an input that takes over 60 s, and more than
2 GB of resident memory. A finding is kept in FOLDER/TARGET/ and ends that target's turn; the
corpus in FOLDER is used again by the next call.
"""

import argparse
import contextlib
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris

# what parses in Python: mutations are steered by its branches
PARSERS = [
    "paecli.training.settings", "paecli.system.yaml_text", "paecli.data", "paecli.store",
    "PIL", "zipfile", "tarfile", "yaml",
]  # fmt: skip

with atheris.instrument_imports(include=PARSERS, enable_loader_override=False):
    import numpy
    from PIL import Image

    from paecli.cli.app import app
    from paecli.data import read_image
    from paecli.data.sets import archives
    from paecli.data.sets.idx import read_idx
    from paecli.data.sets.named_sets import NAMED_SETS
    from paecli.evaluation.image_sets import read_statistics
    from paecli.outliers.conformal import p_values
    from paecli.outliers.scores import measure_scores
    from paecli.restoration.masks.files import read_mask
    from paecli.store.cache import cached_file, partial_file
    from paecli.store.checkpoint import load_pae
    from paecli.store.header import HEADER_KEY
    from paecli.store.index import index_to_yaml, parse_index
    from paecli.system.errors import PaeError
    from paecli.system.folders import CACHE_VARIABLE, cache_folder
    from paecli.system.progress import NullProgress
    from paecli.training.run_folder import STATE_KEY
    from paecli.training.settings import resolve, to_yaml
    from paecli.training.state import TrainingState

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "store" / "fixtures" / "version-1.safetensors"
INDEX = ROOT / "src" / "paecli" / "registry" / "index.yaml"
PRESETS = ROOT / "src" / "paecli" / "training" / "presets"
SLOWEST = 60  # seconds by the clock for one input; the machine may be shared
MEMORY = 2048  # MB resident, some 500 of them torch's own
LARGEST = 1 << 16  # bytes of an input
LONGEST_MESSAGE = 2000
SHAPE = (1, 28, 28)
QUICK = ("--method", "laplace", "--starts", "2", "--samples", "2")
ARCHIVED = {"a/b": tarfile.REGTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
Target = Callable[[bytes], None]


def as_file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def model_file(folder: Path, content: bytes) -> None:
    load_pae(as_file(folder, "model.safetensors", content))


def training_state(folder: Path, content: bytes) -> None:
    TrainingState.load(as_file(folder, "state.safetensors", content))


def index(_folder: Path, content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    read = parse_index(text, where="the fuzzer")
    assert parse_index(index_to_yaml(read), where="the fuzzer") == read
    for file in (file for entry in read.entries for file in entry.files):
        for place in (cached_file(file), partial_file(file)):
            assert place.resolve().is_relative_to(cache_folder().resolve())
            assert len(place.name) < 200


def config(folder: Path, content: bytes) -> None:
    file = as_file(folder, "config.yaml", content)
    settings = resolve(preset=None, file=file, flags={})
    file.write_text(to_yaml(settings))
    assert resolve(preset=None, file=file, flags={}) == settings


def idx(folder: Path, content: bytes) -> None:
    read_idx(as_file(folder, "train-images-idx3-ubyte", content))


def image(folder: Path, content: bytes) -> None:
    path = as_file(folder, "image", content)
    read = read_image(path, image_shape=SHAPE)
    assert read.pixels.isfinite().all()
    assert 0 <= read.pixels.min() <= read.pixels.max() <= 1
    read_mask(str(path), read)


def archive(folder: Path, content: bytes) -> None:
    """The first byte chooses zip or tar.gz; a tar is gzipped here, for mutations to reach it."""
    if content[:1] == b"z":
        named, packed = NAMED_SETS["celeba"], content[1:]
    elif content[:1] == b"t":
        named, packed = NAMED_SETS["cifar10"], gzip.compress(content[1:], 1)
    else:
        named, packed = NAMED_SETS["cifar10"], content[1:]
    place = folder / "given"
    place.mkdir()
    as_file(place, named.archives[0], packed)
    try:
        archives.unpack_archives(named, place, NullProgress())
    finally:
        links = [path for path in folder.rglob("*") if path.is_symlink()]
        assert not links
        assert {path.name for path in folder.iterdir()} <= {"given", "cache"}
        assert {path.name for path in place.iterdir()} == {named.archives[0]}


def values(folder: Path, content: bytes) -> None:
    """Writes the bytes over the tensors, at the place that the first four of them say."""
    whole = bytearray(MODEL.read_bytes())
    begin = 8 + struct.unpack("<Q", whole[:8])[0]
    place = begin + int.from_bytes(content[:4], "little") % (len(whole) - begin)
    fresh = content[4 : 4 + len(whole) - place]
    whole[place : place + len(fresh)] = fresh
    model, _ = load_pae(as_file(folder, "model.safetensors", bytes(whole)))
    drawn = model.sample(2)
    assert drawn.isfinite().all()
    assert model.log_prob(drawn).isnan().sum() == 0
    for score in model.reference_scores:
        p = p_values(measure_scores(model, drawn, [score])[score], model.reference_scores[score])
        assert ((p > 0) & (p <= 1)).all()


def commands(folder: Path, content: bytes) -> None:
    path = str(as_file(folder, "model.safetensors", content))
    picture = str(folder / "picture.png")
    Image.new("L", (8, 8), 99).save(picture)
    shown = [["info", path], ["info", path, "--json"], ["info", path, "--all"]]
    used = [
        ["sample", path, "-n", "2", "--out", str(folder / "drawn")],
        ["ood", path, picture],
        ["inpaint", picture, "-m", path, "--mask", "left", "--out", str(folder / "mended"), *QUICK],
    ]
    for words in (*shown, *used, ["publish", path, "--to", str(folder / "registry")]):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                app(words, standalone_mode=False)
            except PaeError as error:
                assert "\n" not in str(error)  # noqa: PT017


def statistics(folder: Path, content: bytes) -> None:
    read_statistics(as_file(folder, "kept.npz", content), size=4)


TARGETS: dict[str, Callable[[Path, bytes], None]] = {
    "model_file": model_file,
    "training_state": training_state,
    "index": index,
    "config": config,
    "idx": idx,
    "image": image,
    "archive": archive,
    "values": values,
    "commands": commands,
    "statistics": statistics,
}


def guarded(read: Callable[[Path, bytes], None]) -> Target:
    """Gives the target a folder of its own, in memory, and allows pae's own errors."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None

    def run(content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=root) as name:
            os.environ[CACHE_VARIABLE] = str(Path(name) / "cache")
            message = ""
            try:
                read(Path(name), content)
            except PaeError as error:
                message = str(error)
            assert "\n" not in message, "the message has several lines"
            assert len(message) < LONGEST_MESSAGE, "the message is too long"

    return run


def mutate_tensors(content: bytes, size: int, seed: int) -> bytes:
    """Mutates a safetensors file where it matters: inside its two layers of JSON."""
    try:
        length = struct.unpack("<Q", content[:8])[0]
        header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
        key = HEADER_KEY if HEADER_KEY in header["__metadata__"] else STATE_KEY
        inner = header["__metadata__"][key].encode()
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        return bytes(atheris.Mutate(content, size))
    if seed % 3 == 0:
        return bytes(atheris.Mutate(content, size))
    if seed % 3 == 1:
        inner = atheris.Mutate(inner, len(inner) + 64)
        header["__metadata__"][key] = inner.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = bytes(atheris.Mutate(json.dumps(header).encode(), length + 64))
    return (struct.pack("<Q", len(text)) + text + rest)[:size]


def seeds(target: str) -> list[bytes]:
    """Returns what mutation starts from."""
    if target == "values":
        return [bytes(4) + bytes(8), b"\0\1\0\0" + struct.pack("<f", -1.0) * 4]
    if target == "statistics":
        kept = io.BytesIO()
        numpy.savez(kept, mu=numpy.zeros(4), sigma=numpy.eye(4))
        return [kept.getvalue()]
    if target in ("model_file", "commands"):
        return [MODEL.read_bytes()]
    if target == "training_state":
        from safetensors.torch import save
        from torch import zeros

        fields = {
            "settings": {}, "epoch": 1, "step": 2, "loss_sum": 0.0, "seconds": 1.5,
            "best_metric": 0.5, "averaged_steps": 2, "history": [{"epoch": 1, "loss": 0.5}],
        }  # fmt: skip
        return [save({"module.a": zeros(2)}, {STATE_KEY: json.dumps(fields)})]
    if target == "index":
        return [INDEX.read_bytes(), b"schema_version: 1\nentries: []\n"]
    if target == "config":
        return [path.read_bytes() for path in sorted(PRESETS.glob("*.yaml"))]
    if target == "idx":
        plain = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + bytes(24)
        return [plain, gzip.compress(plain)]
    return image_seeds() if target == "image" else archive_seeds()


def image_seeds() -> list[bytes]:
    found = []
    for form in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "TGA", "ICO", "JPEG2000"):
        for mode in ("L", "RGB", "P", "RGBA", "1", "I;16"):
            buffer = io.BytesIO()
            with contextlib.suppress(OSError, KeyError, ValueError):
                Image.new(mode, (9, 7)).save(buffer, form)
                found.append(buffer.getvalue())
    return found


def archive_seeds() -> list[bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("img_align_celeba/000001.jpg", b"a face" * 9)
        packed.writestr("../up", b"x")
    with tarfile.open(fileobj=tarred, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in ARCHIVED.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../.." if kind != tarfile.REGTYPE else ""
            tar.addfile(member, io.BytesIO())
    plain = tarred.getvalue()
    return [b"z" + zipped.getvalue(), b"t" + plain, b"g" + gzip.compress(plain)]


def fuzz(target: str, folder: Path, seconds: int) -> None:
    """Runs libFuzzer on one target in this process; never returns."""
    corpus = folder / target / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    run = guarded(TARGETS[target])
    run(seeds(target)[0])  # torch imports more at the first model; that is nobody's slow input
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={MEMORY}",
        f"-max_len={LARGEST}", f"-artifact_prefix={folder / target}/", "-print_final_stats=1",
    ]  # fmt: skip
    with_json = target in ("model_file", "training_state", "commands")
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)],
        run,
        custom_mutator=mutate_tensors if with_json else None,
    )
    atheris.Fuzz()


def turn(target: str, folder: Path, seconds: int) -> dict[str, object]:
    """Fuzzes one target in a process of its own and returns its figures."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--inside", target, "--seconds", str(seconds)]
    result = subprocess.run(
        [*command, "--keep", str(folder)], capture_output=True, text=True, errors="replace"
    )
    # atheris tells of an input that takes too long on standard output, and ends by SIGALRM
    (folder / target / "last.log").write_text(result.stdout + result.stderr)
    count = re.findall(r"number_of_executed_units: (\d+)|^#(\d+)", result.stderr, re.MULTILINE)
    memory = re.findall(r"peak_rss_mb: +(\d+)|rss: (\d+)Mb", result.stderr)
    return {
        "target": target,
        "executions": max((int(first or second) for first, second in count), default=0),
        "seconds": round(time.perf_counter() - started),
        "peak_mb": max((int(first or second) for first, second in memory), default=0),
        "exit_code": result.returncode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target and round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--inside", choices=TARGETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return fuzz(arguments.inside, arguments.keep, arguments.seconds)
    executions = seconds = findings = 0
    for target in (arguments.targets or list(TARGETS)) * arguments.rounds:
        (arguments.keep / target).mkdir(parents=True, exist_ok=True)
        figures = turn(target, arguments.keep, arguments.seconds)
        print(json.dumps(figures), flush=True)
        executions += int(str(figures["executions"]))
        seconds += int(str(figures["seconds"]))
        findings += figures["exit_code"] != 0
    print(
        f"{executions:,} executions in {seconds / 3600:.2f} hours, {findings} turn(s) with findings"
    )
    return sys.exit(findings > 0)


if __name__ == "__main__":
    main()
