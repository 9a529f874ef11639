"""Magnifiers to compare with: each is ``(reference, frames, alpha) -> frames``, float32 RGB in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import phase
import torch
from magplus.models.filters import gaussian_blur
from magplus.models.lkmag import arch
from magplus.models.sampling import invert, sample_linear, sample_spline, spline_coefficients
from torch import Tensor

Method = Callable[[Tensor, Tensor, float], Tensor]

FLOW_SMOOTHING_PX = 3.0


def identity(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
    """The input."""
    return frames


def linear(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
    """Wu et al. 2012 without its band-pass in time: the difference to the reference, times alpha."""
    return (reference + alpha * (frames - reference)).clamp(0, 1)


def phase_based(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
    """Wadhwa et al. 2013."""
    return torch.stack([phase.magnify(reference, frame, alpha) for frame in frames])


def dis(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
    """Dense inverse search (Kroeger et al. 2016), times alpha."""
    return _warped(reference, frames, alpha, _flow(reference, frames))


def dis_smoothed(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
    """The same with a smoothed flow."""
    return _warped(reference, frames, alpha, gaussian_blur(_flow(reference, frames), FLOW_SMOOTHING_PX))


def _flow(reference: Tensor, frames: Tensor) -> Tensor:
    """Flow ``(N, 2, H, W)``. The estimator takes 8 bits; they are spread over the range that the pictures use."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setPatchSize(12)
    estimator.setPatchStride(2)
    estimator.setGradientDescentIterations(25)
    estimator.setVariationalRefinementIterations(20)
    grey = torch.cat([reference[None], frames]).mean(1)
    low, high = grey.amin(), grey.amax()
    eight_bit = ((grey - low) / (high - low).clamp(min=1e-3) * 255).round().byte().numpy()
    flows = [estimator.calc(eight_bit[0], frame, None) for frame in eight_bit[1:]]
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)


def _warped(reference: Tensor, frames: Tensor, alpha: float, flow: Tensor) -> Tensor:
    """The frame's pixels where alpha times the flow brings them, by a cubic spline."""
    origin = invert(alpha * flow)
    return sample_spline(spline_coefficients(frames), origin + sample_linear(flow, origin)).clamp(0, 1)


def lkmag(network: arch.LKMag) -> Method:
    """Ours."""

    def run(reference: Tensor, frames: Tensor, alpha: float) -> Tensor:
        return network.run(network.prepare(reference, alpha), frames)

    return run


RIVALS: dict[str, Method] = {
    "input": identity,
    "linear": linear,
    "phase": phase_based,
    "DIS": dis,
    "DIS smooth": dis_smoothed,
    "untrained": lkmag(arch.prior()),
}
