"""MetaPortrait's super-resolution against the official code's outputs, at a reduced size, and whole (heavy)."""

import subprocess
import sys

import detfill
import metaportrait_files as files
import numpy as np
import pytest
import torch
from magplus.models.checkpoint import write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.metaportrait.superres_arch import superresolver
from magplus.models.precision import has_bfloat16
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.motion.superresolve import superresolve

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def arrays():
    return detfill.golden("metaportrait")[0]


@pytest.fixture(scope="module")
def plain():
    return superresolver(files.superres())


@pytest.fixture(scope="module")
def fast():
    return superresolver(files.superres()).fold()


def close(found, array, tolerance=TOLERANCE):
    np.testing.assert_allclose(found.detach().numpy(), array, atol=tolerance, rtol=0)


def upscaled(network, frames):
    return torch.cat(list(network.unclamped(frames)))


def check_clip(network, arrays):
    frames = files.clip_of(3, 64, 21)
    with torch.no_grad():
        levels, styles = network.analyse(frames)
        finest = torch.cat([list(network.conditions(one))[-1][0] for one in levels])
    close(styles[:, 0], arrays["sr128_style_0"])
    close(finest[:, :2, ::2, ::2], arrays["sr128_scale_last_c0"])
    close(upscaled(network, frames), arrays["sr128_out"][0])


def test_plain_network(arrays, plain):
    check_clip(plain, arrays)


def test_the_fast_network_gives_the_same_for_every_kind_of_clip(arrays, fast):
    close(upscaled(fast, files.clip_of(3, 64, 21)[:1])[..., ::2, ::2], arrays["sr128_single_out_s2"][0])
    close(upscaled(fast, files.clip_of(2, 128, 22))[..., ::2, ::2], arrays["sr128_noresize_out_s2"][0])


@pytest.mark.heavy
def test_windows_of_the_goldens(arrays, fast):
    frames = TensorClip(files.clip_of(5, 64, 23))
    made = torch.cat(list(superresolve(frames, fast.unclamped, window=2)))
    close(made[..., ::4, ::4], arrays["sr128_seg2_out_s4"][0])


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near(arrays):
    rough = superresolver(files.superres()).fold(torch.bfloat16)
    made = upscaled(rough, files.clip_of(3, 64, 21)[:1])[..., ::2, ::2]
    assert made.dtype == torch.float32
    assert np.abs(made.numpy() - arrays["sr128_single_out_s2"][0]).max() < 0.05


def test_both_forms_of_files_load_and_what_does_not_fit_is_named(tmp_path):
    """With spectral norm or without it; `params` before `params_ema`; a size no network has."""
    state = files.superres()
    name = "conv_body_down.0.conv1.weight"
    u, v = torch.randn(128), torch.randn(128 * 9)
    normed = {f"{name}_orig": state[name], f"{name}_u": u, f"{name}_v": v}
    found = superresolver({k: w for k, w in state.items() if k != name} | normed).state_dict()[name]
    torch.testing.assert_close(found, state[name] / torch.dot(u, state[name].flatten(1) @ v))
    with pytest.raises(MagPlusError, match=r"1 missing \(final_linear.bias\)"):
        superresolver({k: v for k, v in state.items() if k != "final_linear.bias"})
    with pytest.raises(MagPlusError, match="with 48 channels"):
        superresolver({**state, "conv_body_first.weight": torch.zeros(48, 3, 1, 1)})


def test_other_sizes_are_refused(fast):
    for shape in ((1, 3, 96, 96), (1, 3, 64, 128)):
        with pytest.raises(MagPlusError, match="squares of 64 or 128 px"):
            list(fast(torch.rand(*shape)))


@pytest.mark.heavy
def test_the_whole_network(arrays):
    network = superresolver(files.superres("sr")).fold()
    made = upscaled(network, files.clip_of(2, 256, 24))
    close(made[..., ::8, ::8], arrays["sr512_out_s8"][0])
    close(made[..., 200:232, 300:332], arrays["sr512_out_crop"][0])


MEASURE = """
import sys, torch
sys.path[:0] = [{tests!r}, {models!r}]
import conftest, metaportrait_files as files
from magplus.models.registry import load_superresolver
from magplus.pipeline.cli.console import peak_memory_bytes
torch.set_num_threads(1)
network = load_superresolver({path!r}, {{}})[0]
count = sum(len(made) for made in network(torch.rand(16, 3, 256, 256)))
print(count, peak_memory_bytes())
"""


@pytest.mark.heavy
def test_sixteen_frames_stay_under_three_gigabytes(tmp_path, root):
    """A fresh process, from the file to the last picture. Upstream needs 0.65 GiB more for every frame."""
    path = tmp_path / "sr.safetensors"
    write_safetensors(files.superres("sr"), path, {})
    program = MEASURE.format(tests=str(root / "tests"), models=str(root / "tests" / "models"), path=str(path))
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    count, peak = told.split()
    assert int(count) == 16
    assert int(peak) < 3e9
