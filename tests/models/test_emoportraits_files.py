"""EMOPortraits' checkpoints: the layout that is around, what is left out, what is missing, and weights as trained."""

import emoportraits_files as files
import pytest
import torch
from magplus.models.catalog import BACKBONES
from magplus.models.checkpoint import read_checkpoint, write_safetensors
from magplus.models.emoportraits import arch
from magplus.models.emoportraits.head_pose import HeadPose
from magplus.models.emoportraits.layers import AdaptiveGroupNorm, standardise
from magplus.models.emoportraits.parts import MAKERS
from magplus.models.errors import MagPlusError
from magplus.models.fomm import arch as fomm
from magplus.models.options import read_options
from magplus.models.registry import identify, join, load_backbone
from magplus.models.spectral import plain_weights
from torch import nn

ONE = "warp_embed_head_orig_nw"


def test_leftovers_of_training_are_ignored_and_the_rest_is_kept():
    leftovers = ["discriminator_ds.0.weight", "bn.running_mean", "vgg_loss.mean", "idt_embedder_nw.mean"]
    leftovers += ["expression_embedder_nw.identity_grid", "expression_embedder_nw.net_face.std"]
    state = files.part(ONE) | dict.fromkeys(leftovers, torch.zeros(2))
    assert arch.tidy(state).keys() == files.part(ONE).keys()


def test_keys_with_an_equals_sign_load_and_survive_a_file(tmp_path):
    name = "local_encoder_nw"
    path = tmp_path / "encoder.safetensors"
    write_safetensors(files.part(name), path, {})
    read = read_checkpoint(path).tensors
    assert any("=512px." in key for key in read)
    found = arch.load_part(name, arch.tidy(read)).state_dict()
    assert torch.equal(
        found["enc_0_block=512px.block_feats.0.weight"],
        files.part(name)[f"{name}.enc_0_block=512px.block_feats.0.weight"],
    )


def changed(name, drop=(), **more):
    return {key: value for key, value in (files.part(name) | more).items() if key not in drop}


def test_what_is_missing_unexpected_or_of_another_shape_is_named():
    name, first = "volume_source_nw", "volume_source_nw.net.net.0.block.0"
    with pytest.raises(MagPlusError, match=r"volume_source_nw: 1 missing \(net.net.0.block_feats.0.bias\)"):
        arch.load_part(name, changed(name, [f"{name}.net.net.0.block_feats.0.bias"]))
    with pytest.raises(MagPlusError, match=r"1 unexpected \(net.net.3.skip.weight\)"):
        arch.load_part(name, changed(name, **{f"{name}.net.net.3.skip.weight": torch.zeros(1)}))
    with pytest.raises(MagPlusError, match=f"lack {first}.weight_u, the spectral norm"):
        arch.load_part(name, changed(name, [f"{first}.weight_u"]))
    wrong = {f"{name}.net.net.0.block_feats.0.bias": torch.zeros(95)}
    with pytest.raises(MagPlusError, match=r"bias is \(95,\), not \(96,\)"):
        arch.load_part(name, changed(name, **wrong))


def test_a_file_without_one_of_the_networks_is_refused():
    """Upstream loads what it finds and paints with noise where something is missing."""
    with pytest.raises(MagPlusError, match=r"local_encoder_nw: \d+ missing \(from_rgb_512px.weight"):
        arch.networks(files.part("decoder_nw"))


def checkpoints(*tensors):
    return [files.checkpoint(state, f"{i}.pth") for i, state in enumerate(tensors)]


def test_which_files_it_needs():
    options = read_options(arch.OPTIONS, {}, of="EMO")
    with pytest.raises(MagPlusError, match=r"given 0.pth; what is missing: the model itself. Give 328_model.pth and"):
        arch.build(checkpoints(files.head_pose()), options)
    with pytest.raises(MagPlusError, match=r"a part twice, the second time by 1.pth"):
        arch.build(checkpoints(files.head_pose(), files.head_pose()), options)
    with pytest.raises(MagPlusError, match=r"given no file; what is missing"):
        arch.build([], options)


def test_files_are_recognised_by_their_keys_and_joined():
    keys = dict.fromkeys(arch.REQUIRED_KEYS, torch.zeros(1))
    main, head = checkpoints(keys, files.head_pose())
    assert identify(main).name == "emoportraits" and identify(head).name == "emoportraits-head-pose"
    joined = join([head, main])
    assert identify(joined).name == "emoportraits"
    assert {key.partition(".")[0] for key in joined.tensors} >= {arch.HEAD_POSE, "decoder_nw"}
    assert isinstance(arch.networks(join([head]).tensors)[1], HeadPose)


def test_another_resnet_is_not_taken_for_the_regressor(tmp_path):
    state = files.head_pose() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    with pytest.raises(MagPlusError, match=r"fc.weight is \(1000, 512\), not \(9, 512\)"):
        arch.load_part(arch.HEAD_POSE, arch.tidy(state))
    deeper = state | {"layer1.0.conv3.weight": torch.zeros(1)}
    with pytest.raises(MagPlusError):
        identify(files.checkpoint(deeper))


def test_a_file_of_another_model_is_refused_by_its_name(tmp_path):
    path = tmp_path / "vox.pth"
    torch.save(dict.fromkeys(fomm.REQUIRED_KEYS, torch.zeros(1)), path)
    with pytest.raises(MagPlusError, match=r"First Order Motion Model.*emoportraits needs 328_model.pth") as caught:
        load_backbone("emoportraits", [path], {})
    assert BACKBONES["emoportraits"].published.origin in str(caught.value)


def test_every_weight_standardised_layer_is_found_and_no_other():
    """They have a bias and no spectral norm: first convolutions of blocks, some of the residual networks, two heads."""
    names = {f"{k}.weight" for n in MAKERS for k in _layers(files.keys_of(n))}
    assert len(names) == 65
    assert "decoder_nw.img_decoder.dec_img_head.2.weight" in names
    assert "uv_generator_nw.blocks_3d.3.block_feats.2.weight" in names
    assert "idt_embedder_nw.net.layer4.2.conv3.weight" in names
    assert not any(n.startswith(("volume_", "pose_")) or "projector" in n for n in names)


def _layers(keys):
    """Layers that `standardise` changes."""
    noisy = {
        key: torch.rand(3, *[2] * (len(shape) - 1)) if len(shape) > 1 else torch.rand(3) for key, shape in keys.items()
    }
    made = standardise(noisy)
    return [key.removesuffix(".weight") for key in keys if not torch.equal(made[key], noisy[key])]


def test_weights_are_what_the_official_forward_passes_compute():
    """Spectral norm without an eps, weight standardisation with its eps on the unbiased deviation, both in float32."""
    weight = torch.randn(6, 4, 3, 3)
    folded = standardise({"c.weight": weight, "c.bias": torch.zeros(6)})["c.weight"]
    row = weight[2] - weight[2].mean()
    torch.testing.assert_close(folded[2], row / (row.flatten().std(correction=1) + 1e-5), atol=1e-6, rtol=1e-6)
    conv = nn.utils.spectral_norm(nn.Conv2d(4, 6, 3, bias=False)).train(False)
    found = plain_weights({f"c.{k}": v for k, v in conv.state_dict().items()})["c.weight"]
    picture = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(nn.functional.conv2d(picture, found), conv(picture), atol=1e-5, rtol=1e-5)


def test_the_adaptive_norm_applies_its_own_affine_twice():
    norm = AdaptiveGroupNorm(32, 64)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    features, gain, shift = torch.randn(2, 64, 2, 3, 4), torch.randn(2, 64), torch.randn(2, 64)
    with torch.no_grad():
        plain = nn.functional.group_norm(features, 32, eps=1e-5)
        w, b, g, s = (v.view(-1, 64, 1, 1, 1) for v in (norm.weight, norm.bias, gain, shift))
        torch.testing.assert_close(norm.styled(features, gain, shift), (plain * w + b) * (w + g) + (b + s))
