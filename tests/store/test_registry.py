"""From a published model to the same numbers elsewhere, whatever happens on the way."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.store.cache import (
    cached_file,
    cached_files,
    damaged_files,
    keep_in_cache,
    partial_file,
    remove_damaged,
)
from paecli.store.checkpoint import load_pae
from paecli.store.index import Entry, Index, IndexFile, index_to_yaml
from paecli.store.registry import fetch, fetch_file, fetch_model, list_entries, open_registry
from paecli.system.errors import PaeError, RegistryError

from .faulty_server import Site, drop_after, same_length_garbage, status, web_page

MODEL = "blobs-r1.safetensors"


def fetch_in_process(address: str) -> str:
    return str(fetch_model("blobs", registry=address))


def test_scores_are_the_same_to_the_bit_after_publishing_and_downloading(
    site: Site, trained_pae: PAE, blobs: Tensor
) -> None:
    fetched = fetch("blobs", registry=site.url)
    assert fetched.origin == "download"
    model, header = load_pae(fetched.files[0])
    assert torch.equal(model.log_prob(blobs[:50]), trained_pae.log_prob(blobs[:50]))
    assert torch.equal(model.reconstruct(blobs[:50]), trained_pae.reconstruct(blobs[:50]))
    assert header.data == {"name": "blobs"}


def test_what_is_cached_is_not_fetched_again_and_serves_offline(site: Site) -> None:
    first = fetch_model("blobs", registry=site.url)
    assert fetch("blobs", registry=site.url).origin == "cache"
    assert [name for name, _ in site.requests] == ["index.yaml", MODEL, "index.yaml"]
    assert fetch_model("blobs", registry=site.url, offline=True) == first
    assert len(site.requests) == 3
    site.stop()
    assert fetch_model("blobs", registry=site.url) == first


def test_offline_says_what_is_missing(site: Site) -> None:
    with pytest.raises(RegistryError, match="go online once"):
        fetch_model("blobs", registry=site.url, offline=True)
    list_entries(site.url)
    with pytest.raises(RegistryError, match="--offline forbids"):
        fetch_model("blobs", registry=site.url, offline=True)


def test_a_damaged_cache_is_noticed_and_mended(site: Site) -> None:
    path = fetch_model("blobs", registry=site.url)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    assert damaged_files() == [path]
    with pytest.raises(RegistryError, match="damaged"):
        fetch_model("blobs", registry=site.url, offline=True)
    assert fetch_model("blobs", registry=site.url).read_bytes() == good
    assert damaged_files() == []


def test_wrong_bytes_never_reach_the_cache(site: Site) -> None:
    site.faults[MODEL] = [same_length_garbage]
    with pytest.raises(RegistryError, match="SHA-256 differs"):
        fetch_model("blobs", registry=site.url)
    assert cached_files() == []
    assert fetch_model("blobs", registry=site.url).name == MODEL


def test_a_bad_start_of_an_earlier_download_is_thrown_away(site: Site) -> None:
    file = list_entries(site.url)[0].files[0]
    partial_file(file).parent.mkdir(parents=True)
    partial_file(file).write_bytes(b"bad start")
    assert fetch_model("blobs", registry=site.url) == cached_file(file)
    assert not partial_file(file).exists()


def test_an_interrupted_download_goes_on_in_the_next_call(site: Site) -> None:
    site.faults[MODEL] = [drop_after(100_000), *[status(500)] * 5]
    with pytest.raises(RegistryError, match="answers 500"):
        fetch_model("blobs", registry=site.url)
    site.requests.clear()
    fetch_model("blobs", registry=site.url)
    assert site.requests[-1][1].startswith("bytes=")


def test_two_processes_fetch_a_file_once(site: Site) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        paths = pool.map(fetch_in_process, [site.url] * 2, chunksize=1)
    assert paths[0] == paths[1]
    assert [name for name, _ in site.requests].count(MODEL) == 1


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_serves_its_files_where_they_are(registry_folder: Path, form: str) -> None:
    assert fetch_model("blobs", registry=form.format(registry_folder)) == registry_folder / MODEL
    assert cached_files() == []


def test_a_changed_file_in_a_folder_is_refused(registry_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "index.yaml").write_bytes((registry_folder / "index.yaml").read_bytes())
    (tmp_path / MODEL).write_bytes((registry_folder / MODEL).read_bytes()[:-1] + b"?")
    with pytest.raises(RegistryError, match="not what the index says"):
        fetch_model("blobs", registry=str(tmp_path))


def test_the_variable_and_the_option_choose_the_registry(
    registry_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_registry().source.address == "bundled"
    config = tmp_path / "config" / "pae" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"registry: {registry_folder}\n")
    assert open_registry().source.address == str(registry_folder)
    monkeypatch.setenv("PAE_REGISTRY", "/nowhere")
    with pytest.raises(RegistryError, match="/nowhere is no registry"):
        open_registry()
    assert open_registry("bundled").source.address == "bundled"


def test_the_bundled_registry_backs_every_other(registry_folder: Path) -> None:
    with pytest.raises(RegistryError, match="not in the cache"):
        fetch_file("inception-fid", kind="features", registry=str(registry_folder), offline=True)


def test_the_bundled_registry_serves_from_the_package() -> None:
    for entry in list_entries("bundled"):
        if all(file.url is None for file in entry.files):
            assert fetch(entry.name, registry="bundled").origin == "bundled"
    assert cached_files() == []


def test_unknown_names_get_a_hint(registry_folder: Path) -> None:
    address = str(registry_folder)
    with pytest.raises(RegistryError, match="did you mean 'blobs'"):
        fetch_model("blob", registry=address)
    with pytest.raises(RegistryError, match="no revision 7"):
        fetch_model("blobs", registry=address, revision=7)
    with pytest.raises(RegistryError, match="of kind 'model', not 'features'"):
        fetch_file("blobs", kind="features", registry=address)


def test_a_cache_of_the_future_or_the_past_is_as_good(site: Site) -> None:
    path = fetch_model("blobs", registry=site.url)
    for seconds in (0, 2**33):
        os.utime(path, (seconds, seconds))
        assert fetch("blobs", registry=site.url).origin == "cache"
    assert damaged_files() == []


def test_a_cache_that_cannot_be_written_is_one_line(site: Site, own_cache: Path) -> None:
    own_cache.write_bytes(b"")  # a file where the folder should be: also stops root
    with pytest.raises(PaeError, match="set PAE_CACHE to a folder of yours"):
        fetch_model("blobs", registry=site.url)
    assert [entry.name for entry in list_entries(site.url)] == ["blobs"]


def test_a_folder_in_the_place_of_a_cached_file_is_one_line(site: Site) -> None:
    place = cached_file(list_entries(site.url)[0].files[0])
    (place / "in the way").mkdir(parents=True)
    with pytest.raises(RegistryError, match=r"cannot write .*set PAE_CACHE"):
        fetch_model("blobs", registry=site.url)


def test_a_registry_index_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.yaml").symlink_to("/dev/zero")
    with pytest.raises(RegistryError, match="no registry"):
        list_entries(str(tmp_path))


def test_a_web_page_in_place_of_the_index_is_reported(site: Site) -> None:
    site.faults["index.yaml"] = [web_page]
    with pytest.raises(RegistryError, match="check the registry's address"):
        list_entries(site.url)


def test_a_half_written_index_never_replaces_a_good_copy(site: Site) -> None:
    list_entries(site.url)
    site.faults["index.yaml"] = [lambda handler, content: handler.answer(200, content[:70])]
    assert [entry.name for entry in list_entries(site.url)] == ["blobs"]
    assert [entry.name for entry in list_entries(site.url, offline=True)] == ["blobs"]


def test_files_may_lie_elsewhere(tmp_path: Path) -> None:
    file = IndexFile(path="a.bin", size=3, sha256="0" * 64, url="https://127.0.0.1:9/a.bin")
    index = Index(entries=(Entry(name="a", kind="data", files=(file,)),))
    (tmp_path / "index.yaml").write_text(index_to_yaml(index))
    with pytest.raises(RegistryError, match="--offline forbids"):
        fetch_file("a", kind="data", registry=str(tmp_path), offline=True)


def test_a_damaged_download_of_any_kind_is_removed_by_its_mark(tmp_path: Path) -> None:
    target = cached_file(IndexFile(path="photos.bin", size=1, sha256="0" * 64))
    part = tmp_path / "part"
    part.write_bytes(b"rot")
    keep_in_cache(part, target)
    (target.parent / "mine.bin").write_bytes(b"somebody's")
    assert damaged_files() == [target]
    remove_damaged(damaged_files())
    assert [path.name for path in target.parent.iterdir()] == ["mine.bin"]
