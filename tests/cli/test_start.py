"""Mistakes are answered, and light commands done, without importing torch."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from paecli.data import write_image
from paecli.model.model import Model
from paecli.store.checkpoint import read_header, save_pae

# Runs each command line in a process of its own, forked after the imports that all share.
SCRIPT = """
import json, os, sys
from paecli.cli.app import PANELS, load_command, main

for name in PANELS:
    load_command(name)

def run(arguments, folder):
    sys.argv = ["pae", *arguments]
    os.chdir(folder)
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    heavy = [name for name in ("torch", "numpy", "matplotlib", "sklearn") if name in sys.modules]
    sys.stdout.flush()
    sys.stderr.flush()
    print("HEAVY" + json.dumps([code, heavy]), flush=True)
    os._exit(0)

for line in sys.stdin:
    arguments, folder, said = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(1, 2)
        run(arguments, folder)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    heavy: list[str]
    said: str


MISTAKES = {
    # command line (files as `workplace` makes them): exit code, what is said
    "inpaint nowhere.png --mask box": (1, "nowhere.png does not exist"),
    "inpaint empty --mask box": (1, "no images in empty"),
    "inpaint words.png --mask box": (1, "words.png is not an image"),
    "inpaint image.png --mask bocks": (2, "no mask 'bocks'"),
    "inpaint image.png --mask box --invert-mask": (2, "--invert-mask would do nothing here"),
    "inpaint image.png --mask random:2": (2, "needs a fraction between 0 and 1"),
    "inpaint image.png --mask box:1,2": (2, "needs four whole numbers"),
    "inpaint image.png --mask box:9,9,3,3": (2, "does not fit"),
    "inpaint image.png --mask words.png": (1, "words.png is not an image"),
    "inpaint image.png --mask box --noise nan": (2, "noise is nan"),
    "inpaint image.png --mask box --method magic": (2, "--method"),
    "inpaint image.png --mask box --samples 0": (2, "--samples"),
    "inpaint image.png --mask box --truth nowhere.png": (1, "nowhere.png does not exist"),
    "inpaint image.png --mask box --model nomodel": (1, "'nomodel' is no file"),
    "inpaint image.png --mask box --model stage1": (1, "this model has no flow yet"),
    "inpaint image.png --mask box --out words.png": (2, "words.png"),
    "inpaint image.png": (2, "--mask"),
    "inpaint image.png --mask emptymasks/": (2, "no mask 'emptymasks/'"),
    "inpaint image.png --mask empty": (1, "1 of 1 images have no mask of their name in empty"),
    "inpaint image.png --mask box --truth empty": (1, "have no truth of their name in empty"),
    "inpaint image.png --mask box --noise 25": (2, "25 of 255 grey levels meant? That is 0.098"),
    "inpaint image.png --mask box --noise words.png": (1, "words.png is not an image"),
    "inpaint image.png --blur -1": (2, "--blur"),
    "inpaint image.png --blur 1000": (2, "blur is 1000"),
    "inpaint image.png --mask box --confidence 2": (2, "--confidence"),
    "inpaint image.png --downsample 3": (2, "cannot be down-sampled by 3"),
    "denoise image.png --noise 25": (2, "25 of 255 grey levels meant?"),
    "denoise image.png --noise empty": (1, "have no noise map of their name in empty"),
    "denoise nowhere.png --noise 0.1": (1, "nowhere.png does not exist"),
    "denoise image.png --noise 300": (2, "in [0, 1]; give a standard deviation of these"),
    "denoise image.png --noise 0": (2, "nothing to restore"),
    "denoise image.png --noise much": (2, "--noise"),
    "denoise image.png --noise 0.1 -m words.png": (1, "words.png is not a model file"),
    "ood nowhere.png": (1, "nowhere.png does not exist"),
    "ood words.png": (1, "words.png is not an image"),
    "ood nomodel image.png": (1, "'nomodel' is no file"),
    "ood fmnist-23 image.png": (1, "did you mean 'fmnist-32'"),
    "ood unfinished image.png": (1, "unfinished holds no trained model yet; go on with"),
    "ood folder.safetensors image.png": (1, "folder.safetensors holds no trained model"),
    "ood image.png --score beauty": (2, "no score 'beauty'"),
    "ood image.png --score marginal_likelihood": (
        1,
        "no reference scores of 'marginal_likelihood'",
    ),
    "ood image.png --fpr 0.00001": (2, "is finer than"),
    "ood image.png --fpr 7": (2, "--fpr"),
    "ood image.png --fdr 0.1 --fpr 0.2": (2, "--fpr would do nothing here: --fdr takes its place"),
    "ood image.png --score log_prob --score typicality": (2, "give --score once"),
    "ood image.png --against mnist": (2, "not both"),
    "ood --fail-on-outlier": (2, "need images"),
    "ood --against nosuchset": (2, "--against nosuchset: neither a folder nor one of"),
    "ood --score beauty": (2, "no score 'beauty'"),
    "ood image.png --report words.png": (2, "words.png is a file"),
    "ood moved.safetensors --against mnist": (1, "'/gone' is neither a folder"),
    "eval nomodel": (1, "'nomodel' is no file"),
    "eval empty": (1, "empty holds no trained model"),
    "eval --dataset nosuchset": (1, "'nosuchset' is neither a folder"),
    "eval moved.safetensors": (1, "'/gone' is neither a folder"),
    "eval moved.safetensors --seed 1": (1, "tell with --data-dir where it is"),
    "eval --inception-weights words.png": (2, "need --fid or --kid"),
    "eval --fid --inception-weights nowhere.pth": (1, "cannot read nowhere.pth"),
    "eval --fid --inception-weights /dev/zero": (1, "/dev/zero is not a regular file"),
    "eval --fid --features eyes": (2, "--features"),
    "eval stage1 --fid": (1, "this model has no flow yet"),
    "fid nowhere empty": (1, "nowhere does not exist"),
    "fid empty empty": (1, "no images in empty"),
    "fid words.png words.png": (1, "words.png is neither a folder"),
    "fid kept.npz kept.npz --features photo": (2, "statistics of inception"),
    "fid kept.npz kept.npz --features classifier": (2, "grey 28 x 28 images"),
    "fid kept.npz kept.npz --kid": (2, "needs the images"),
    "fid kept.npz kept.npz --inception-weights nowhere.pth": (1, "cannot read nowhere.pth"),
    "info fmnist-32 --model mnist-8": (2, "two models are named"),
    "sample fmnist-32 --model mnist-8": (2, "two models are named"),
    "info --model=": (2, "--model is empty"),
    "train-ae fmnist-mini --out=": (2, "--out is empty"),
    "sample k --registry nowhere": (1, "nowhere is no registry"),
    "sample --registry nowhere": (2, "--registry would do nothing here: no model is named"),
    "info stage1 --registry nowhere": (2, "would do nothing here: stage1 is on this machine"),
    "eval --registry nowhere": (2, "--registry would do nothing here"),
    "ood image.png --registry nowhere": (2, "--registry would do nothing here"),
    "ood --against mnist --registry nowhere": (2, "--registry would do nothing here"),
    "inpaint image.png --mask box --registry nowhere": (2, "--registry would do nothing here"),
    "denoise image.png --noise 0.1 --registry nowhere": (2, "--registry would do nothing here"),
    "interpolate image.png image.png --registry nowhere": (2, "--registry would do nothing here"),
    "sample fmnist-32 --registry emptyregistry": (1, "has no model 'fmnist-32'; without"),
    "inpaint image.png --mask box --starts 9": (2, "--starts would do nothing here: --method auto"),
    "denoise image.png --noise 0.1 --method smc --starts 9": (2, "--starts would do nothing"),
    "inpaint image.png --mask box --method map --samples 9": (2, "--samples would do nothing"),
    "denoise image.png --noise 0.1 --method map --samples 9": (2, "--samples would do nothing"),
    "inpaint image.png --mask box --data-dir empty": (2, "--data-dir would do nothing here"),
    "denoise image.png --noise 0.1 --data-dir empty": (2, "--data-dir would do nothing here"),
    "eval --fid --features classifier --inception-weights w": (2, "would do nothing here"),
    "fid kept.npz kept.npz --seed 3": (2, "--seed would do nothing here"),
    "fid two two --features photo --inception-weights words.png": (2, "would do nothing here"),
    "train-flow stage1 --list list.csv --data-dir empty": (2, "--data-dir would do nothing here"),
    "train-flow stage1 --from-scratch": (2, "--from-scratch would do nothing here"),
    "train-ae two --features pixels --log csv": (2, "--log would do nothing here"),
    "train-ae two --features pixels --device cpu": (2, "--device would do nothing here"),
    "train-ae two --features pixels --seed 3": (2, "--seed has no meaning with --features"),
    "train-ae two --features pixels --precision fp32": (2, "--precision has no meaning"),
    "train-ae two --config patches.yaml --epochs 3": (2, "--epochs has no meaning"),
    "download mnist --revision 2": (2, "--revision would do nothing here"),
    "download mnist --verify": (2, "--verify would do nothing here"),
    "download --verify --list": (2, "--list would do nothing here"),
    "train-ae two --data-dir empty": (2, "--data-dir would do nothing here: two is there"),
    "train-ae --list list.csv --data-dir empty": (2, "--data-dir would do nothing here"),
    "train-ae fmnist-mini --data-dir empty": (2, "--data-dir would do nothing here: it is for"),
    "train-ae two --features pixels --data-dir empty": (2, "--data-dir would do nothing here"),
    "train-flow stage1 --config patches.yaml": (2, "--config would do nothing here"),
    "eval --dataset two --data-dir empty": (2, "--data-dir would do nothing here"),
    "eval --dataset mnist-mini --data-dir empty": (2, "--data-dir would do nothing here"),
    "eval --list list.csv --data-dir empty": (2, "--data-dir would do nothing here"),
    "download mnist --registry nowhere": (2, "--registry would do nothing here"),
    "sample nomodel": (1, "'nomodel' is no file"),
    "sample foreign.safetensors": (1, "not one of pae's"),
    "sample cut.safetensors": (1, "cut.safetensors"),
    "sample words.safetensors": (1, "words.safetensors is not a model file"),
    "sample stage1": (1, "this model has no flow yet"),
    "eval stage1 --seed 3": (2, "--seed would do nothing here"),
    "sample --temperature 0 --seed 3": (2, "--seed would do nothing here"),
    "sample -n 0": (2, "--count"),
    "sample -n 99999999999999999999999999": (2, "--count has 26 digits; give at most"),
    "train-ae two --learning-rate inf": (2, "--learning-rate is inf; give a finite number"),
    "train-ae two --minutes nan": (2, "--minutes"),
    "ood image.png --fpr nan": (2, "--fpr"),
    "ood image.png --fdr nan": (2, "--fdr"),
    "watch empty --false-alarm nan": (2, "--false-alarm"),
    "inpaint image.png --mask box --confidence nan": (2, "--confidence"),
    "inpaint image.png --blur nan": (2, "--blur"),
    "train-flow stage1 --latent-noise nan": (2, "--latent-noise"),
    "denoise image.png --noise=-0.1": (2, "--noise is -0.1, it must be a standard deviation"),
    "denoise image.png --noise -inf": (2, "--noise is -inf"),
    "sample --temperature nan": (2, "--temperature"),
    "interpolate nowhere.png image.png": (1, "nowhere.png does not exist"),
    "interpolate image.png words.png": (1, "words.png is not an image"),
    "interpolate image.png image.png -m nomodel": (1, "'nomodel' is no file"),
    "interpolate image.png image.png --steps 1": (2, "--steps"),
    "ood fmnist-32 --tiles": (2, "--tiles"),
    "ood fmnist-32 image.png --tiles --maps maps": (2, "--tiles goes with neither --maps"),
    "inpaint image.png --mask box --tiles --resize": (2, "goes with none of --resize"),
    "train-ae empty": (1, "no images in"),
    "eval --dataset empty": (1, "no images in empty"),
    "ood --against empty": (1, "no images in empty"),
    "fid two one": (1, "one holds 1 image; give at least 2"),
    "recalibrate fmnist-32 two": (1, "too few to recalibrate with: 2 images"),
    "train-ae": (2, "give a data set, a folder of images, or --list FILE"),
    "train-ae fmnist-mini --list words.png": (2, "and one of them"),
    "train-ae --list nowhere.csv": (1, "nowhere.csv does not exist"),
    "train-ae --list image.png": (1, "image.png is not called .csv"),
    "ood fmnist-32 image.png --list bad.yaml": (2, "give images or --list, not both"),
    "eval fmnist-32 --list image.png": (1, "image.png is not called .csv"),
    "train-flow stage1 --list image.png": (1, "image.png is not called .csv"),
    "train-ae nosuchset": (1, "'nosuchset' is neither a folder"),
    "train-ae fmnist-mini --preset nopreset": (1, "nopreset"),
    "train-ae fmnist-mini --config nowhere.yaml": (2, "nowhere.yaml"),
    "train-ae fmnist-mini --config bad.yaml": (1, "bad.yaml"),
    "train-ae fmnist-mini --loss beauty": (1, "--loss: input should be 'ae',"),
    "train-ae fmnist-mini --network deep": (1, "--network: input should be"),
    "train-ae fmnist-mini --learning-rate 0": (1, "--learning-rate: input should be greater than"),
    "train-ae fmnist-mini --augment brightness:2": (1, "--augment: input should be less than 1"),
    "train-ae fmnist-mini --augment shift:nan": (1, "--augment: input should be"),
    "train-ae fmnist-mini --optimiser sgd": (1, "--optimiser: input should be 'adamw' or 'muon'"),
    "train-flow stage1 --blocks 257": (1, "--blocks: input should be less than or equal to 256"),
    "train-ae fmnist-mini --augment turn:1": (2, "cannot read 'turn:1'"),
    "train-ae fmnist-mini --device tpu": (2, "--device 'tpu' is not known"),
    "train-ae fmnist-mini --precision fp8": (1, "precision"),
    "train-ae fmnist-mini --epochs 0": (2, "--epochs"),
    "train-ae fmnist-mini --minutes 0": (2, "--minutes"),
    "train-ae fmnist-mini --minutes 5 --epochs 5": (2, "both say when to stop"),
    "train-flow stage1 --minutes 5 --epochs 5": (2, "both say when to stop"),
    "train-ae fmnist-mini --out stage1": (1, "is already trained"),
    "train-ae fmnist-mini --out broken --resume": (1, "is damaged; start again"),
    "train-ae fmnist-mini --out broken": (1, "holds an unfinished autoencoder run"),
    "train-ae fmnist-mini --resume": (1, "holds no interrupted run"),
    "train-flow nowhere": (1, "nowhere holds no trained autoencoder"),
    "train-flow stage1 --flow river": (1, "flow"),
    "train-flow stage1 --device tpu": (2, "--device 'tpu' is not known"),
    "train-flow stage1 --resume": (1, "holds no interrupted run"),
    "train-flow stage1 --preset nopreset": (1, "nopreset"),
    "train-flow stage1 --measure-only": (1, "stage1 holds no trained flow"),
    "serve nomodel": (1, "'nomodel' is no file"),
    "serve stage1": (1, "this model has no flow yet"),
    "serve --port 70000": (2, "--port"),
    "serve --port 1 words.png": (1, "words.png is not a model file"),
    "publish nomodel --to registry": (1, "'nomodel' is no file"),
    "publish fmnist-32 --to registry --name Big/Name": (2, "cannot be a name"),
    "publish fmnist-32 --to registry --description " + 2001 * "a": (2, "the description cannot"),
    "publish fmnist-32 --to registry --licence " + 101 * "a": (2, "the licence cannot"),
    "publish fmnist-32 --to badregistry": (1, "badregistry"),
    "export nomodel out.onnx": (1, "'nomodel' is no file"),
    "export stage1 out.onnx": (1, "this model has no flow yet"),
    "export fmnist-32": (2, "FILE"),
    "export moved.safetensors moved.safetensors": (2, "moved.safetensors is read by this command"),
    "export fmnist-32 empty": (2, "empty is a folder; give the name of a file"),
    "export fmnist-32 out.onnx --score marginal_likelihood": (2, "no fast score"),
    "export moved.safetensors out.onnx --score combined": (1, "no reference scores of 'combined'"),
    "export fmnist-32 out.onnx --pixels int8": (2, "--pixels"),
    "export fmnist-32 out.onnx --check 0": (2, "--check"),
    "watch nowhere": (1, "nowhere is no folder"),
    "watch empty --model nomodel": (1, "'nomodel' is no file"),
    "watch empty --model stage1": (1, "this model has no flow yet"),
    "watch empty --score marginal_likelihood": (2, "no fast score"),
    "watch empty --fpr 0.00001": (2, "is finer than"),
    "watch empty --false-alarm 2": (2, "--false-alarm"),
    "watch empty --baseline -1": (2, "--baseline"),
    "watch empty --jsonl a --state b": (2, "--state would do nothing"),
    "recalibrate nomodel empty": (1, "'nomodel' is no file"),
    "recalibrate stage1 empty": (1, "this model has no flow yet"),
    "recalibrate fmnist-32 empty": (1, "no images in empty"),
    "recalibrate fmnist-32 nowhere": (1, "nowhere does not exist"),
    "recalibrate fmnist-32 empty --out moved.safetensors": (2, "moved.safetensors exists"),
    "info nomodel": (1, "'nomodel' is no file"),
    "info words.png": (1, "words.png is not a model file"),
    "info empty": (1, "empty holds no trained model"),
    "download nothing-of-that-name": (1, "'nothing-of-that-name' is no file"),
    "download fmnist-32 --revision 999": (1, "has no revision 999"),
    "download --list nothing": (1, "nothing of the name 'nothing'"),
    "download --list --registry nowhere": (1, "nowhere is no registry"),
    "download --list --registry gopher://a": (1, "as a registry"),
    "demo --model nomodel": (1, "'nomodel' is no file"),
    "demo --model stage1": (1, "this model has no flow yet"),
    "demo --config nowhere.yaml": (2, "nowhere.yaml"),
    "demo --config bad.yaml": (1, "bad.yaml"),
    "demo --model fmnist-32 --config bad.yaml": (2, "--config would do nothing here"),
    "demo --out image.png": (2, "looks like one picture"),
}
# what takes a tenth or more of a mistake's time, and is for tables, other formats and the network
SLOW = (
    "torch", "numpy", "rich.console", "rich.progress", "PIL.TiffImagePlugin", "requests",
    "huggingface_hub", "pooch",
)  # fmt: skip
LIGHT = [
    "info", "info --json", "download --list", "download fmnist-32", "download --verify",
    "train-ae --list-presets", "train-ae --list-presets --json",
]  # fmt: skip


@pytest.fixture(scope="module")
def workplace(
    trained_pae: Model, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("empty", "stage1", "broken", "badregistry"):
        (folder / name).mkdir()
    write_image(folder / "image.png", torch.rand(1, 28, 28))
    for name in ("words.png", "words.safetensors"):
        (folder / name).write_text("just words, and many of them")
    (folder / "kept.npz").write_bytes(b"no archive")
    for name in ("1.png", "2.png"):
        write_image(folder / "two" / name, torch.rand(1, 28, 28))
    write_image(folder / "one" / "1.png", torch.rand(1, 28, 28))
    (folder / "list.csv").write_text("two/1.png\ntwo/2.png\n")
    (folder / "patches.yaml").write_text("autoencoder: {features: pixels}")
    (folder / "emptyregistry").mkdir()
    (folder / "emptyregistry" / "index.yaml").write_text("schema_version: 1\nentries: []\n")
    (folder / "bad.yaml").write_text("autoencoder: {nosuchkey: 1}")
    (folder / "badregistry" / "index.yaml").write_text("nonsense: 1")
    (folder / "broken" / "autoencoder-state.safetensors").write_text("just words")
    for name in ("unfinished", "folder.safetensors"):
        (folder / name).mkdir()
    for name in ("config.yaml", "autoencoder-state.safetensors"):
        (folder / "unfinished" / name).write_text("")
    content = model_file.read_bytes()
    (folder / "cut.safetensors").write_bytes(content[: len(content) // 2])
    table = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (folder / "foreign.safetensors").write_bytes(len(table).to_bytes(8, "little") + table + b"0")
    header = read_header(model_file)
    alone = header.model_copy(update={"kind": "autoencoder", "flow": None})
    save_pae(folder / "stage1" / "autoencoder.safetensors", Model(trained_pae.autoencoder), alone)
    moved = header.model_copy(update={"config": {"autoencoder": {"data": {"dataset": "/gone"}}}})
    save_pae(folder / "moved.safetensors", trained_pae, moved)
    return folder


@pytest.fixture(scope="module")
def endings(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Runs everything once; by command line."""
    said = tmp_path_factory.mktemp("said")
    lines = [*MISTAKES, *LIGHT, "doctor --registry bundled"]
    files = [said / str(index) for index in range(len(lines))]
    jobs = "".join(
        json.dumps([line.split(), str(workplace), str(file)]) + "\n"
        for line, file in zip(lines, files, strict=True)
    )
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=jobs,
        text=True,
        check=True,
        env={"PAE_CACHE": str(said / "cache"), "PYTHONPATH": ":".join(sys.path), "COLUMNS": "300"},
    )
    return {line: _ended(file) for line, file in zip(lines, files, strict=True)}


def _ended(file: Path) -> Ended:
    said, _, end = file.read_text().rpartition("HEAVY")
    code, heavy = json.loads(end)
    return Ended(code, heavy, said)


@pytest.mark.parametrize("line", MISTAKES, ids=lambda line: line[:60])
def test_mistakes_are_answered_without_torch(endings: dict[str, Ended], line: str) -> None:
    code, says = MISTAKES[line]
    ended = endings[line]
    assert says in ended.said
    assert ended.code == code
    assert ended.heavy == []


def modules_after(line: str, folder: Path) -> tuple[set[str], str]:
    """Runs a command line in a folder; returns what was imported, and what was said."""
    script = (
        "import json, sys\nfrom paecli.cli.app import main\n"
        f"sys.argv = ['pae', *{line.split()}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED' + json.dumps([*sys.modules]))"
    )
    place = str(folder)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"PAE_CACHE": place, "PAE_DATA": place, "PYTHONPATH": ":".join(sys.path)},
    )
    said, _, loaded = ended.stdout.rpartition("LOADED")
    return set(json.loads(loaded)), said + ended.stderr


@pytest.mark.parametrize(
    ("line", "commands"), [("--version", []), ("ood nowhere.png", ["ood"]), ("oot", None)]
)
def test_only_the_command_that_is_called_is_imported(
    tmp_path: Path, line: str, commands: list[str] | None
) -> None:
    modules, said = modules_after(line, tmp_path)
    loaded = {name.rpartition(".")[2] for name in modules if "cli.commands." in name}
    if commands is None:  # similar names are suggested
        assert "Did you mean 'ood'?" in said
    else:
        assert loaded == set(commands)


@pytest.mark.parametrize(
    "line",
    [
        "ood nowhere.png", "sample nomodel", "inpaint image.png --mask bocks", "eval nomodel",
        "eval --dataset nosuchset",
    ],
)  # fmt: skip
def test_mistakes_load_only_what_tells_them(workplace: Path, line: str) -> None:
    modules, said = modules_after(line, workplace)
    assert said.startswith("Error: ")
    assert sorted(modules & set(SLOW)) == []


@pytest.mark.parametrize("line", LIGHT)
def test_light_commands_do_without_torch(endings: dict[str, Ended], line: str) -> None:
    assert endings[line].code == 0, endings[line].said
    assert endings[line].heavy == []


def test_doctor_asks_torch_only_where_there_may_be_a_gpu(endings: dict[str, Ended]) -> None:
    from paecli.diagnosis.compute import CPUINFO, has_gpu_sign

    ended = endings["doctor --registry bundled"]
    assert ended.code == 0, ended.said
    assert ("torch" in ended.heavy) == (has_gpu_sign() or not CPUINFO.is_file())
