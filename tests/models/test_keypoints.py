"""The keypoint detector of FOMM and FSRT, and the motion between two sets of keypoints."""

import math

import detfill
import numpy as np
import pytest
import torch
from magplus.models.keypoints.detector import KeypointDetector
from magplus.models.keypoints.motion import (
    Keypoints,
    MotionOptions,
    inverse_2x2,
    movement_scale,
    nearest,
    transfer,
)

TOLERANCE = 1e-4
AS_UPSTREAM = MotionOptions(relative=True, adapt_movement_scale=True)


def detector(name):
    network = KeypointDetector(jacobian=name == "fomm").train(False)
    state = {**network.state_dict(), **detfill.filled(name, "kp_detector")}
    network.load_state_dict(state)
    return network


def close(found, array, tolerance=TOLERANCE):
    np.testing.assert_allclose(found.numpy(), np.asarray(array, np.float32), atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def fomm():
    with torch.no_grad():
        network = detector("fomm")
        pictures = torch.cat([detfill.probe(256, 1)[None], detfill.driving(256)])
        return network, network(pictures), detfill.golden("fomm")[0]


def test_fomm_keypoints_and_jacobians(fomm):
    _, found, arrays = fomm
    for index, name in enumerate(["src", "drv0", "drv1", "drv2"]):
        close(found.keypoints.value[index], arrays[f"kp_{name}_value"])
        close(found.keypoints.jacobian[index], arrays[f"kp_{name}_jacobian"])


def test_fomm_intermediate_arrays(fomm):
    network, found, arrays = fomm
    with torch.no_grad():
        close(network.down(detfill.probe(256, 1)[None])[0], arrays["kpdet_src_down"], 1e-3)
        logits = network.kp(found.features[:1])[0, 0]
    close(logits, arrays["kpdet_src_logits_kp0"])


@pytest.mark.parametrize(("mode", "options"), [("rel", AS_UPSTREAM), ("abs", MotionOptions(relative=False))])
def test_fomm_normalised_keypoints(fomm, mode, options):
    _, found, arrays = fomm
    source, reference, moved = (found.keypoints[i : i + 1] for i in (0, 1, 2))
    scale = movement_scale(source, reference) if options.adapt_movement_scale else 1.0
    made = transfer(source, reference, moved, options, scale=scale)
    close(made.value[0], arrays[f"{mode}_drv1_kpnorm_value"])
    close(made.jacobian[0], arrays[f"{mode}_drv1_kpnorm_jacobian"])


def test_fsrt_keypoints_and_their_motion():
    network = detector("fsrt")
    arrays, about = detfill.golden("fsrt")
    pictures = torch.cat([detfill.probe(128, 1)[None], detfill.probe(128, 2)[None], detfill.driving(128)])
    with torch.no_grad():
        found = network(pictures)
    assert found.keypoints.jacobian is None
    for index, name in enumerate(["src1", "src2", "drv0", "drv1", "drv2"]):
        close(found.keypoints.value[index], arrays[f"h128_{name}_kp"])
    close(found.heatmaps[0, 0], arrays["h128_src1_heatmap_kp0"])
    source, reference, moved = (found.keypoints[i : i + 1] for i in (0, 2, 3))
    scale = movement_scale(source, reference)
    assert scale == pytest.approx(about["stats"]["h128_scale"], abs=1e-5)
    close(transfer(source, reference, moved, AS_UPSTREAM, scale=scale).value[0], arrays["h128_rel_drv1_kpnorm"])


def test_every_key_of_the_released_detectors_is_there():
    for name in ("fomm", "fsrt"):
        network = KeypointDetector(jacobian=name == "fomm")
        missing = set(network.state_dict()) - set(detfill.filled(name, "kp_detector"))
        assert missing == {"down.weight"}


def some(count=1, seed=0, jacobian=True):
    generator = torch.Generator().manual_seed(seed)
    turn = torch.eye(2) + 0.2 * torch.randn(count, 10, 2, 2, generator=generator)
    return Keypoints(value=torch.rand(count, 10, 2, generator=generator) * 2 - 1, jacobian=turn if jacobian else None)


def test_strength_goes_from_the_source_to_the_whole_motion():
    source, reference, driving = some(seed=1), some(seed=2), some(3, seed=3)
    for options in (MotionOptions(), MotionOptions(relative=False)):
        still, half, whole = (transfer(source, reference, driving, options, strength=s) for s in (0.0, 0.5, 1.0))
        for made, part in ((still, 0.0), (half, 0.5)):
            torch.testing.assert_close(made.value, torch.lerp(source.value.expand(3, -1, -1), whole.value, part))
            torch.testing.assert_close(
                made.jacobian, torch.lerp(source.jacobian.expand(3, -1, -1, -1), whole.jacobian, part)
            )


def test_without_motion_the_source_keeps_its_keypoints():
    source, reference = some(seed=1), some(seed=2)
    made = transfer(source, reference, reference, MotionOptions(), scale=1.7)
    torch.testing.assert_close(made.value, source.value)
    torch.testing.assert_close(made.jacobian, source.jacobian)


def test_scale_is_the_ratio_of_sizes_and_best_ignores_place_and_size():
    source = some(seed=1)
    larger = Keypoints(value=0.4 + 2 * source.value)
    assert movement_scale(larger, source) == pytest.approx(2, rel=1e-5)
    others = some(3, seed=5)
    assert nearest(source, [others[:2], larger, others[2:]]) == 2
    assert nearest(source, [larger, larger]) == 0


@pytest.mark.parametrize("matrix", [[[0.0, 0], [0, 0]], [[1.0, 2], [2, 4]], [[1.0, 0], [0, -1e-9]]])
def test_a_singular_jacobian_stays_finite(matrix):
    assert torch.isfinite(inverse_2x2(torch.tensor(matrix))).all()


def test_a_sound_jacobian_is_inverted_exactly():
    made = inverse_2x2(torch.tensor([[[math.cos(1), -2 * math.sin(1)], [math.sin(1), 2 * math.cos(1)]]]))
    torch.testing.assert_close(made, torch.tensor([[[math.cos(1), math.sin(1)], [-math.sin(1) / 2, math.cos(1) / 2]]]))
