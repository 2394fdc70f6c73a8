"""Which arithmetic a run takes and whether it is compiled. Knows processors by what they can do."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

# Instructions that multiply bfloat16; without one of them a CPU emulates it, many times slower than fp32.
BF16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"})
# Ampere; older GPUs emulate bfloat16.
FIRST_CUDA_GENERATION_WITH_BF16 = 8

Precision = Literal["fp32", "bf16"]


def chosen_precision(asked: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """What "auto" stands for on `device`: bf16 where the hardware multiplies it, fp32 elsewhere."""
    if asked != "auto":
        return asked
    return "bf16" if multiplies_bf16(device) else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware of `device`."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= FIRST_CUDA_GENERATION_WITH_BF16
    return any(torch.cpu.get_capabilities().get(name) for name in BF16_INSTRUCTIONS)


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass: weights stay fp32, matrices are multiplied as `precision` says."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def compiling_pays(asked: Literal["auto", "never"], device: torch.device) -> bool:
    """Whether "auto" compiles: on CUDA, where small kernels are the cost.

    On a CPU the matrices are the cost, and compiling takes minutes that few runs earn back.
    """
    return asked == "auto" and device.type == "cuda"


def hardware(device: torch.device, processes: int = 1) -> str:
    """What the model card calls the machine: "CPU", or the name of the GPU; the number of processes if several."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return name if processes == 1 else f"{processes} x {name}"
