"""Which device is taken and what it computes in."""

from __future__ import annotations

import pytest
import torch

from medcontext import devices
from medcontext.devices import Device, choose_device, choose_precision, is_out_of_memory, tune_cpu
from medcontext.errors import InputError
from medcontext.events import Reporter

CPU = Device(torch.device("cpu"), "CPU", "for tests")


def test_auto_says_what_it_took_and_why() -> None:
    device = choose_device("auto")
    assert device.kind in ("cpu", "cuda", "mps")
    assert device.name
    assert device.reason.endswith(".")


def test_a_graphics_processor_that_fails_its_test_is_left_alone_and_named(monkeypatch) -> None:
    events: list[dict] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_device_name", lambda _device: "Old card")
    monkeypatch.setattr(devices, "_cuda_problem", lambda _device: "no kernel image is available")
    device = choose_device("auto", Reporter(events.append))
    assert device.kind == "cpu"
    assert "Old card cannot be used: no kernel image is available" in device.reason
    assert "Old card" in events[0]["message"]


def test_the_self_test_finds_wrong_results(monkeypatch) -> None:
    assert devices._self_test(torch.device("cpu")) is None
    monkeypatch.setattr(devices, "SELF_TEST_TOLERANCE", -1.0)
    assert "differ from the CPU" in str(devices._self_test(torch.device("cpu")))


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", "mps:0", ""])
def test_an_unknown_device_lists_those_allowed(name: str) -> None:
    with pytest.raises(InputError, match="Allowed: auto, cpu, cuda"):
        choose_device(name)


def test_a_device_that_is_not_there_is_an_error_not_another_device(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="no Apple graphics"):
        choose_device("mps")


def test_apple_graphics_need_a_torch_that_computes_right_there(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.7.1")
    with pytest.raises(InputError, match=r"older than 2\.8"):
        choose_device("mps")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_bf16_only_where_the_cpu_computes_it_itself(monkeypatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(devices, "cpu_has_native_bf16", lambda: native)
    assert choose_precision(CPU) == expected
    if not native:
        with pytest.raises(InputError, match="does not compute in bf16"):
            choose_precision(CPU, "bf16")


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_precision_by_the_generation_of_the_card(monkeypatch, capability, expected) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision(Device(torch.device("cuda"), "Card", "")) == expected


def test_apple_graphics_compute_in_fp32_only() -> None:
    apple = Device(torch.device("mps"), "Apple graphics", "")
    assert choose_precision(apple) == "fp32"
    with pytest.raises(InputError, match="it has fp32"):
        choose_precision(apple, "fp16")


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="Allowed: auto, fp32, bf16, fp16"):
        choose_precision(CPU, "fp8")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_running_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_thread_count_asked_for_in_the_environment_is_kept(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    assert tune_cpu() == before
