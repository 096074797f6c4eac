"""What the page sends: read into memory, within bounds, and nowhere else."""

import asyncio
from typing import Annotated, Literal, TypeVar

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from paecli.data.images.opening import MemoryFile, open_image
from paecli.system.limits import LARGEST_SEED

MOST_BYTES = 64 << 20  # of a request; base64 takes a third more than the file
MOST_PIXELS = 50_000_000  # of an image
MOST_IMAGES = 16  # of a request; the page sends many in turn
MOST_SAMPLES = 64
SECONDS = 60.0  # that an upload may take
READ_AT_ONCE = 4  # uploads in memory; others wait unread
NAME_LETTERS = 255

_reading = asyncio.Semaphore(READ_AT_ONCE)
Asked = TypeVar("Asked", bound=BaseModel)
Steps = Annotated[int, Field(ge=2, le=33)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Upload(_Strict):
    """An image file: its name, and its bytes in base64."""

    name: str
    data: Base64Bytes

    def file(self) -> MemoryFile:
        """Returns the file, to be read like one on a disk.

        Raises:
            ImageError: no image, or with more than `MOST_PIXELS`.
        """
        name = "".join(letter for letter in self.name if letter.isprintable())
        file = MemoryFile(name[:NAME_LETTERS] or "image", self.data)
        with open_image(file, most_pixels=MOST_PIXELS):  # decodes nothing yet
            return file


class OneImage(_Strict):
    """An image to look at, or to explore from."""

    image: Upload


class Restore(_Strict):
    """An image to restore; the mask is white where it is missing."""

    image: Upload
    mask: Upload | None = None
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0  # of pixels in [0, 1], as at the prompt
    method: Literal["auto", "smc"] = "auto"
    samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 64
    seed: Seed = 0


class Find(_Strict):
    """Images to score."""

    images: Annotated[list[Upload], Field(min_length=1, max_length=MOST_IMAGES)]


class Draw(_Strict):
    """How to draw samples."""

    count: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 16
    temperature: Annotated[float, Field(ge=0, le=3)] = 1.0
    seed: Seed = 0


class Interpolate(_Strict):
    """Two images to go between."""

    start: Upload
    end: Upload
    steps: Steps = 9


async def read(request: Request, kind: type[Asked]) -> Asked:
    """Reads and checks what the page sent.

    Raises:
        HTTPException: too large, too slow, or not what is expected; says so in one line.
        ClientDisconnect: it went away.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send JSON")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise HTTPException(413, too_large())
    try:
        async with asyncio.timeout(SECONDS), _reading:
            body = await _body(request)
    except TimeoutError as error:
        raise HTTPException(408, f"the upload took longer than {SECONDS:g} s") from error
    try:
        return await asyncio.to_thread(kind.model_validate_json, body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise HTTPException(422, f"{place or 'request'}: {first['msg']}") from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, too_large())
    return bytes(body)


def too_large() -> str:
    """Returns what to say of an upload over the bound."""
    return f"more than {MOST_BYTES * 3 // 4 >> 20} MB at once; send fewer or smaller images"
