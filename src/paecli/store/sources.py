"""Where registries live: the package, a folder, a web server, a DOI or the Hugging Face hub."""

import os
import re
import warnings
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import yaml

from paecli import __version__
from paecli.store.index import INDEX_FILE, FileName
from paecli.store.waiting import within
from paecli.system.errors import RegistryError
from paecli.system.folders import config_file
from paecli.system.yaml_text import MAX_CONFIG_BYTES, parse_yaml, read_bounded_text

BUNDLED = "bundled"
REGISTRY_VARIABLE = "PAE_REGISTRY"
TIMEOUT = 30  # seconds for an archive to go on with its answer
LONGEST_SEARCH = 120.0  # seconds to find a file in an archive
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class FolderSource:
    """A registry on this machine; its files are used where they are."""

    address: str
    folder: Path


@dataclass(frozen=True)
class WebSource:
    """A registry behind URLs."""

    address: str
    base: str
    on_hub: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with each request: on the Hugging Face hub the user's token, if any."""
        if not self.on_hub:
            return {}
        from huggingface_hub import constants, get_token

        # not `build_hf_headers`: to name the program that runs it, it asks the hub first
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def url(self, file_name: FileName) -> str:
        """Returns the address of one file."""
        return f"{self.base}/{quote(file_name)}"


@dataclass(frozen=True)
class DoiSource:
    """A registry in a research archive (Zenodo, Figshare, Dataverse), found through pooch."""

    address: str
    doi: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def url(self, file_name: FileName) -> str:
        """Returns the address of one file; asks the archive.

        Raises:
            RegistryError: no such DOI, an unknown archive, no such file, or no connection.
        """
        try:
            url = within(LONGEST_SEARCH, lambda: self._ask(file_name), discard=str)
        # pooch takes the archive's answer apart without looking
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RegistryError(
                f"cannot find {file_name} at {self.address}: {reason:.300}; check the DOI"
            ) from error
        if not url.startswith("https://"):
            raise RegistryError(
                f"{self.address} wants {file_name} fetched from an address that pae does not "
                f"follow ({url:.200}); tell the archive"
            )
        return url

    def _ask(self, file_name: FileName) -> str:
        from pooch.downloaders import doi_to_repository

        sent = {"User-Agent": f"pae/{__version__}"}  # Zenodo limits nameless visitors
        # pooch warns of DOIs without a version; the index has hashes
        with warnings.catch_warnings(action="ignore"):
            archive = doi_to_repository(self.doi, timeout=TIMEOUT, headers=sent)
            return str(archive.download_url(file_name))


Source = FolderSource | WebSource | DoiSource


def choose_address(explicit: str | None) -> str:
    """Returns the registry's address: the option, `PAE_REGISTRY`, the user's config, bundled.

    Raises:
        RegistryError: the user's config file is damaged.
    """
    return explicit or os.environ.get(REGISTRY_VARIABLE) or _configured_address() or BUNDLED


def open_source(address: str) -> Source:
    """Turns an address into a source; touches neither disk nor network.

    Args:
        address: `bundled`, a folder, `file://`, `https://`, `http://` on this machine,
            `doi:10....` or `hf://organisation/repository@revision`.

    Raises:
        RegistryError: none of these.
    """
    if address.rpartition("/")[2] == INDEX_FILE:  # as a browser shows where the index is
        address = address.removesuffix(INDEX_FILE).rstrip("/") or "/"
    if address == BUNDLED:
        return FolderSource(address, Path(str(resources.files("paecli") / "registry")))
    scheme = address.partition(":")[0].lower() if re.match(r"^[A-Za-z]{2,}:", address) else ""
    if scheme == "":
        return FolderSource(address, Path(os.path.expanduser(address)))  # noqa: PTH111
    if scheme == "file":
        return FolderSource(address, Path(unquote(urlsplit(address).path)))
    if scheme == "doi":
        return DoiSource(address, address[len("doi:") :].lstrip("/"))
    if scheme == "hf":
        return _hub_source(address)
    return _server_source(address)


def is_loopback(url: str) -> bool:
    """Tells whether a URL points to this machine."""
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:  # such as http://[::1
        return False


def _server_source(address: str) -> WebSource:
    secure = address.startswith("https://")
    if not secure and not (address.startswith("http://") and is_loopback(address)):
        raise RegistryError(
            f"cannot use {address!r:.200} as a registry; give a folder or an address that starts "
            "with https://, file://, doi: or hf:// (http:// only on this machine)"
        )
    return WebSource(address, address.rstrip("/"))


def _hub_source(address: str) -> WebSource:
    from huggingface_hub import hf_hub_url

    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
    if match is None:
        raise RegistryError(
            f"cannot read {address!r:.200}; write hf://organisation/repository or "
            "hf://organisation/repository@revision"
        )
    name = "FILE"
    url = hf_hub_url(match[1], name, revision=match[2])
    return WebSource(address, url.removesuffix(f"/{name}"), on_hub=True)


def _configured_address() -> str | None:
    file = config_file()
    if file is None or not file.is_file():
        return None
    try:
        settings = parse_yaml(read_bounded_text(file, MAX_CONFIG_BYTES))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RegistryError(f"cannot read {file}; it holds YAML such as `registry: URL`") from error
    if not isinstance(settings, dict) or set(settings) - {"registry"}:
        raise RegistryError(f"{file} may hold only the key `registry`; remove the others")
    return str(settings["registry"]) if settings.get("registry") else None
