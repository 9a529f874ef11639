# SPDX-License-Identifier: Apache-2.0
"""Instance norm, the quick way."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def instance_norm(features: Tensor) -> Tensor:
    """Each channel of each sample to mean 0 and variance 1 (eps 1e-5).

    As a group norm with one channel a group, which in channels-last layout is several times quicker on a processor than
    torch's own instance norm. It sums squares in one pass, so the mean has to go first: with a mean of five standard
    deviations the error is 3e-5 of one then, and 4e-3 without.
    """
    centred = features - features.mean(dim=(2, 3), keepdim=True)
    return F.group_norm(centred, features.shape[1], eps=1e-5)
