"""No option is taken in silence: each has an effect, or is refused where it would have none.

A new option has to be put into one of the two tables.
"""

import ast
import inspect
import textwrap

from tests.cli.test_start import MISTAKES

from paecli.cli.app import PANELS, load_command

# how options end that are refused where they would do nothing
REFUSALS = ("would do nothing", "has no meaning", "need images", "goes with", "need --fid")
ALWAYS = {
    # what every call of these commands heeds; `json` and `threads` everywhere
    "samples": "folder",
    "demo": "model out",
    "train-ae": "dataset preset config latent_size image_size limit out resume overwrite "
    "list_presets features file_list",
    "train-flow": "model file_list measure_only",
    "eval": "argument model fid kid dataset file_list report",
    "ood": "arguments file_list model against score report fail_on_outlier csv_file json_lines "
    "picture maps truth_masks",
    "inpaint": "image mask model noise blur downsample method truth confidence out seed",
    "denoise": "image noise model method truth confidence out seed",
    "sample": "argument model count temperature files out",
    "interpolate": "a b model steps files out",
    "serve": "model port browser",
    "watch": "folder model score fpr false_alarm baseline jsonl once seed",
    "recalibrate": "model folder out",
    "export": "model out score pixels check data_dir seed",
    "info": "argument model everything",
    "download": "name",
    "publish": "model to name licence description replace",
    "fid": "a b features kid",
    "doctor": "registry data_dir",
}
# options that some calls cannot heed: a line of MISTAKES that shows the refusal, or where it is
SOMETIMES = {
    "demo config": "demo --model fmnist-32 --config bad.yaml",
    "train-ae data_dir": "train-ae two --data-dir empty",
    "train-ae network": "patches",
    "train-ae loss": "patches",
    "train-ae augment": "patches",
    "train-ae channels": "patches",
    "train-ae epochs": "train-ae two --config patches.yaml --epochs 3",
    "train-ae minutes": "patches",
    "train-ae batch_size": "patches",
    "train-ae learning_rate": "patches",
    "train-ae optimiser": "patches",
    "train-ae precision": "train-ae two --features pixels --precision fp32",
    "train-ae seed": "train-ae two --features pixels --seed 3",
    "train-ae device": "train-ae two --features pixels --device cpu",
    "train-ae log": "train-ae two --features pixels --log csv",
    "train-flow from_scratch": "train-flow stage1 --from-scratch",
    "train-flow data_dir": "train-flow stage1 --list list.csv --data-dir empty",
    **{
        f"train-flow {name}": "measure-only"
        for name in (
            "preset", "config", "flow", "blocks", "latent_noise", "epochs", "minutes", "batch_size",
            "learning_rate", "optimiser", "precision", "resume", "overwrite", "seed", "device",
            "log",
        )
    },
    "eval registry": "eval --registry nowhere",
    "eval seed": "eval stage1 --seed 3",
    "eval data_dir": "eval --dataset two --data-dir empty",
    "eval features": "need --fid",
    "eval samples": "need --fid",
    "eval inception_weights": "eval --fid --features classifier --inception-weights w",
    "ood registry": "ood image.png --registry nowhere",
    "ood fpr": "ood image.png --fdr 0.1 --fpr 0.2",
    "ood fdr": "need images",
    "ood tiles": "ood fmnist-32 image.png --tiles --maps maps",
    "ood limit": "for --against",
    "ood data_dir": "for --against",
    "ood seed": "for --against",
    "inpaint registry": "inpaint image.png --mask box --registry nowhere",
    "inpaint invert_mask": "inpaint image.png --mask box --invert-mask",
    "inpaint samples": "inpaint image.png --mask box --method map --samples 9",
    "denoise samples": "denoise image.png --noise 0.1 --method map --samples 9",
    "inpaint starts": "inpaint image.png --mask box --starts 9",
    "inpaint data_dir": "inpaint image.png --mask box --data-dir empty",
    "inpaint resize": "inpaint image.png --mask box --tiles --resize",
    "inpaint tiles": "inpaint image.png --mask box --tiles --resize",
    "denoise registry": "denoise image.png --noise 0.1 --registry nowhere",
    "denoise starts": "denoise image.png --noise 0.1 --method smc --starts 9",
    "denoise data_dir": "denoise image.png --noise 0.1 --data-dir empty",
    "denoise resize": "with tiles, as inpaint",
    "denoise tiles": "with resize, as inpaint",
    "sample seed": "sample --temperature 0 --seed 3",
    "sample registry": "sample --registry nowhere",
    "interpolate registry": "interpolate image.png image.png --registry nowhere",
    "interpolate data_dir": "both images are files",
    "watch state": "watch empty --jsonl a --state b",
    "info registry": "info stage1 --registry nowhere",
    "download registry": "download mnist --registry nowhere",
    "download revision": "download mnist --revision 2",
    "download offline": "with --verify",
    "download verify": "download mnist --verify",
    "download list_": "download --verify --list",
    "publish half": "models of patches",
    "fid inception_weights": "fid two two --features photo --inception-weights words.png",
    "fid seed": "fid kept.npz kept.npz --seed 3",
}  # fmt: skip
EVERYWHERE = {"json", "threads"}
BY_CALLBACK = {"threads"}  # what acts before the command begins


def options() -> set[str]:
    """Every option and argument of every command, as `command name`."""
    return {
        f"{name} {parameter.name}"
        for name in PANELS
        for parameter in load_command(name).params
        if parameter.name not in {*EVERYWHERE, "help"}
    }


def test_every_option_is_in_one_of_the_tables() -> None:
    always = {f"{command} {name}" for command, names in ALWAYS.items() for name in names.split()}
    assert not always & SOMETIMES.keys()
    assert always | SOMETIMES.keys() == options()


def test_refusals_are_tried() -> None:
    lines = {line for line in SOMETIMES.values() if line.split()[0] in ALWAYS}
    assert lines <= MISTAKES.keys()
    assert [line for line in lines if not any(end in MISTAKES[line][1] for end in REFUSALS)] == []


def test_every_option_is_used_by_its_command() -> None:
    unused = []
    for name in PANELS:
        command = inspect.unwrap(load_command(name).callback)
        source = textwrap.dedent(inspect.getsource(command))
        (function,) = ast.parse(source).body
        read = {
            each.id
            for each in ast.walk(function)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
        }
        given = set(inspect.signature(command).parameters)
        unused += [f"{name} {each}" for each in given - read - BY_CALLBACK]
    assert unused == []
