"""How this tool knows what it wrote itself, so that no command takes it for the user's images."""

from pathlib import Path

from PIL.PngImagePlugin import PngInfo

AUTOENCODER_FILE = "autoencoder.safetensors"  # stage 1
MODEL_FILE = "model.safetensors"  # both stages; what is published
CONFIG_FILE = "config.yaml"
STATE_ENDING = "-state.safetensors"  # of an unfinished stage

SOFTWARE = {"Software": "pae"}  # text in every picture, by PNG's own keyword
PICTURE_MARK = b"tEXtSoftware\x00pae"
MARK_WITHIN = 512  # bytes; the text comes right after the header


def is_own_picture(path: Path) -> bool:
    """Tells whether a file is a picture that this tool wrote; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return PICTURE_MARK in file.read(MARK_WITHIN)
    except OSError:
        return False


def is_run_folder(files: frozenset[str]) -> bool:
    """Tells by the names of its files whether a folder is a run's, finished or not."""
    trained = {AUTOENCODER_FILE, MODEL_FILE} & files
    return CONFIG_FILE in files and bool(
        trained or any(name.endswith(STATE_ENDING) for name in files)
    )


def own_mark() -> PngInfo:
    """Returns what marks a PNG as written by this tool."""
    info = PngInfo()
    for key, text in SOFTWARE.items():
        info.add_text(key, text)
    return info
