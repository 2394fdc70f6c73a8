"""Which arithmetic is taken where."""

import pytest
import torch
from dragoman.model.training import precision
from dragoman.model.training.precision import arithmetic, chosen_precision, compiling_pays, hardware

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True, "avx512_bf16": False}, "fp32")],
)
def test_auto_is_bf16_on_a_cpu_when_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    assert chosen_precision("auto", CPU) == chosen


@pytest.mark.parametrize(("generation", "chosen"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_is_bf16_on_a_gpu_when_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, generation: tuple[int, int], chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: generation)

    assert chosen_precision("auto", CUDA) == chosen


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_precision_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, asked: precision.Precision) -> None:
    monkeypatch.delattr(precision, "multiplies_bf16")

    assert chosen_precision(asked, CPU) == asked


@pytest.mark.parametrize(("chosen", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_matrices_are_multiplied_in_the_precision_chosen(chosen: precision.Precision, dtype: torch.dtype) -> None:
    with arithmetic(chosen, CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)

    assert product.dtype == dtype


@pytest.mark.parametrize(
    ("asked", "device", "pays"), [("auto", CUDA, True), ("auto", CPU, False), ("never", CUDA, False)]
)
def test_compiling_pays_on_a_gpu_unless_it_is_forbidden(asked: str, device: torch.device, pays: bool) -> None:
    assert compiling_pays(asked, device) is pays


def test_hardware_is_named_with_the_number_of_processes() -> None:
    assert (hardware(CPU), hardware(CPU, 2)) == ("CPU", "2 x CPU")
