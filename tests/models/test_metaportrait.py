"""MetaPortrait's base model against the official code's outputs under deterministic weights, plain and folded."""

import detfill
import metaportrait_files as files
import numpy as np
import pytest
import torch
from magplus.models.metaportrait.arch import base_model

PLACE, PICTURE = 1e-4, 1e-3


@pytest.fixture(scope="module")
def arrays():
    return detfill.golden("metaportrait")[0]


@pytest.fixture(scope="module")
def plain():
    return base_model(files.flat())


def close(found, array, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), array, atol=tolerance, rtol=0)


def check_warp(network, arrays, which):
    """Motion code, flow, deformation, visibility, and the portrait moved by them."""
    source, driving = files.drawing("src"), files.drawing(which)
    portrait = files.source()
    stacked = torch.cat([portrait, source.lines, driving.lines], dim=1)
    code = network.ladder_network(stacked)
    warp = network.warp(portrait, source, driving)
    close(code, arrays[f"{which}_style"], PLACE)
    close(network.dense_motion_network.flow(stacked, code)[0], arrays[f"{which}_flow"], PLACE)
    close(warp.deformation, arrays[f"{which}_deformation"], PLACE)
    close(warp.occlusion[..., ::4, ::4], arrays[f"{which}_occlusion_s4"], PLACE)
    close(warp.deform(portrait)[..., ::4, ::4], arrays[f"{which}_deformed_s4"], PICTURE)
    return warp


@pytest.fixture(scope="module")
def probes(plain):
    """Outputs of some inner layers during the first golden."""
    found, hooks = {}, []
    for name in ("conv1", "head_0", "up_1.norm_0", "up_1.norm_0.mlp_attention", "up_1.norm_0.adain"):
        part = plain.SPDAE_G.get_submodule(name)
        hooks.append(part.register_forward_hook(lambda _, inputs, out, name=name: found.update({name: (inputs, out)})))
    yield found
    for hook in hooks:
        hook.remove()


def test_plain_network(arrays, plain, probes):
    with torch.no_grad():
        warp = check_warp(plain, arrays, "drv0")
        taps = plain.encode(files.source())
        made = plain.refine(taps, warp, files.drawing("src"), files.drawing("drv0"), files.identity())
    close(taps[0][:, :4], arrays["drv0_feat0_c0"], PICTURE)
    close(made[..., ::2, ::2], arrays["drv0_prediction_s2"], PICTURE)
    close(probes["conv1"][1][:, :32], arrays["drv0_id_conv1"], PICTURE)
    close(probes["head_0"][1][:, :32], arrays["drv0_blk_head_0"], PICTURE)
    inputs, out = probes["up_1.norm_0"]
    # Recorded behind the activation that follows, which works in place there.
    close(torch.nn.functional.leaky_relu(out[:, :2, ::2, ::2], 0.2), arrays["drv0_up1n0_out_c0"], PICTURE)
    close(probes["up_1.norm_0.mlp_attention"][1][..., ::2, ::2], arrays["drv0_up1n0_attention_s2"], PICTURE)
    scale, shift = probes["up_1.norm_0.adain"][1].chunk(2, dim=1)
    branch = scale * torch.nn.functional.instance_norm(inputs[0]) + shift
    close(branch[:, :2, ::2, ::2], arrays["drv0_up1n0_adain_c0"], PICTURE)


@pytest.mark.heavy
def test_the_plain_network_on_everything(arrays, plain):
    with torch.no_grad():
        check_warp(plain, arrays, "drv1")
        for which, identity, name in (("drv1", 1, "drv1_prediction_s2"), ("drv0", -1, "drv0_negid_prediction_s4")):
            made = plain(files.source(), files.drawing("src"), files.drawing(which), identity * files.identity())
            step = int(name[-1])
            close(made[..., ::step, ::step], arrays[name], PICTURE)
