"""A device that is not the CPU, for machines without one: its tensors have real values.

Tensors on it lie in the processor's memory, and every operation is done there; but torch keeps
them apart as it does those of a GPU. Mixing devices and generators fails, as on a GPU.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration, dlpack
from torch.utils._pytree import tree_leaves, tree_map

NAME = "fake"
CPU, EXTENSION = 1, 12  # device types of DLPack
DEVICE_AT = 8  # bytes before the device type in DLPack's structure
MAY_MIX = {  # indices and pinned copies may lie on the CPU
    "aten::index.Tensor", "aten::index.Tensor_out", "aten::index_put_", "aten::_index_put_impl_",
    "aten::_copy_from", "aten::_copy_from_and_resize",
}  # fmt: skip

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_library: list[Any] = []


class _Backend(backend_registration._DummyBackendModule):  # type: ignore[misc]
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def register() -> torch.device:
    """Makes the device known to torch, once a process; returns it."""
    if not _library:
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Backend())
        library = torch.library.Library("_", "IMPL")
        library.fallback(_on_the_processor, "PrivateUse1")
        convolutions = torch.library.Library("aten", "IMPL")
        convolutions.impl("convolution_overrideable", _convolution, "PrivateUse1")
        convolutions.impl("convolution_backward_overrideable", _convolution_back, "PrivateUse1")
        _library.extend((library, convolutions))
        Tensor.__repr__ = _printed  # type: ignore[method-assign, assignment]
    return torch.device(NAME, 0)


def _seen_as(value: Any, device_type: int) -> Any:
    """Returns the same memory as a tensor of another device."""
    if not isinstance(value, Tensor):
        return value
    if value._is_zerotensor():  # has no memory; forward mode makes them
        value = torch.zeros(value.shape, dtype=value.dtype)
    capsule = dlpack.to_dlpack(value.detach())
    at = _pointer(capsule, b"dltensor") + DEVICE_AT
    ctypes.c_int32.from_address(at).value = device_type
    return dlpack.from_dlpack(capsule)


_plain_repr = Tensor.__repr__


def _printed(self: Tensor, **options: Any) -> str:
    """Prints a copy: on the device the interpreter would crash, and pytest prints arguments."""
    return _plain_repr(self.detach().cpu() if _is_fake(self) else self, **options)


def _is_fake(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == NAME


def _on_the_processor(operation: Any, *arguments: Any, **options: Any) -> Any:
    with torch._C._DisableFuncTorch():
        return _run(operation, arguments, options)


def _run(operation: Any, arguments: Any, options: Any) -> Any:
    given = (arguments, options)
    name = operation._schema.name
    if operation._schema.overload_name:
        name += "." + operation._schema.overload_name
    for value in tree_leaves(given):
        if isinstance(value, Tensor) and not _is_fake(value) and value.ndim and name not in MAY_MIX:
            raise RuntimeError(f"{name}: expected all tensors on {NAME}, but one is on the CPU")
        if isinstance(value, torch.Generator):
            raise RuntimeError(f"{name}: expected a generator on {NAME}, but it is on the CPU")
    plain_arguments, plain_options = tree_map(_on_cpu, given)
    plain_arguments = [
        # numbers stand for tensors
        torch.tensor(value)
        if str(each.type) == "Tensor" and isinstance(value, int | float)
        else value
        for each, value in zip(operation._schema.arguments, plain_arguments, strict=False)
    ]
    if name.startswith("aten::_copy_from"):
        source, target = plain_arguments[:2]
        target.copy_(source)
        return arguments[1]
    if empty := [
        key for key, each in options.items() if isinstance(each, Tensor) and not each.numel()
    ]:
        # memory that was borrowed cannot grow: `torch.eye`, `kthvalue` and the like begin with none
        grown = {key: torch.empty(0, dtype=options[key].dtype) for key in empty}
        operation(*plain_arguments, **plain_options | grown)
        for key in empty:
            options[key].data = _seen_as(grown[key], EXTENSION)
        given_back = [options[key] for key in empty]
        return given_back[0] if len(given_back) == 1 else tuple(given_back)
    results = operation(*plain_arguments, **plain_options)
    return _returned(operation, arguments, options, results)


def _convolution(*arguments: Any) -> Any:
    return _on_the_processor(torch.ops.aten.convolution.default, *arguments)


def _convolution_back(back: Tensor, x: Tensor, weight: Tensor, *options: Any) -> Any:
    *shape, wanted = options
    sizes = [weight.shape[1 if shape[3] else 0] * (shape[5] if shape[3] else 1)]
    return _on_the_processor(
        torch.ops.aten.convolution_backward.default, back, x, weight, sizes, *shape, wanted
    )


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return _seen_as(value, CPU) if _is_fake(value) else value


def _returned(operation: Any, arguments: Any, options: Any, results: Any) -> Any:
    """Returns results on the device; those of in-place operations are the arguments themselves."""
    schema = operation._schema
    if not schema.returns:
        return None
    named = dict(zip((each.name for each in schema.arguments), arguments, strict=False)) | options
    changed = [
        named[each.name]
        for each in schema.arguments
        if each.alias_info is not None and each.alias_info.is_write and each.name in named
    ]
    if changed and all(each.alias_info is not None for each in schema.returns):
        return changed[0] if len(schema.returns) == 1 else tuple(changed)
    if schema.name == "aten::_local_scalar_dense":
        return results
    return tree_map(lambda value: _seen_as(value, EXTENSION), results)
