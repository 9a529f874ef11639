# SPDX-License-Identifier: Apache-2.0
"""Head poses, and the sampling places that belong to them.

A pose is a 4 x 4 matrix that maps a picture's coordinates (x and y in [-1, 1], to the right and downwards, z into the
picture) to those of the canonical head, which looks into the camera.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTH, SIZE = 16, 64
"""Of the volumes: depth, and height as width."""

CROP = 128
"""Side of the crop from which the expression is read, in px."""


def pose_matrix(scale: Tensor, angles: Tensor, translation: Tensor) -> Tensor:
    """Poses ``(N, 4, 4)`` from three numbers ``(N, 3)`` each: scaling after turning after translating.

    The angles are in radians: in-plane roll, turn to a side, nod. Upstream calls them yaw, pitch and roll, which they
    are not, and clamps them to [-pi/2, pi].
    """
    turn = _rotation(angles.clamp(-math.pi / 2, math.pi))
    return from_parts(scale[:, :, None] * turn, translation)


def _rotation(angles: Tensor) -> Tensor:
    """``Rz(a) Ry(b) Rx(c)``."""
    (ca, cb, cc), (sa, sb, sc) = angles.cos().unbind(1), angles.sin().unbind(1)
    rows = [
        [ca * cb, ca * sb * sc - sa * cc, ca * sb * cc + sa * sc],
        [sa * cb, sa * sb * sc + ca * cc, sa * sb * cc - ca * sc],
        [-sb, cb * sc, cb * cc],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def from_parts(linear: Tensor, translation: Tensor) -> Tensor:
    """``(N, 4, 4)`` of a linear map ``(N, 3, 3)`` that follows a translation ``(N, 3)``."""
    upper = torch.cat([linear, linear @ translation[:, :, None]], dim=2)
    return torch.cat([upper, _last_row(upper)], dim=1)


def canonical(like: Tensor) -> Tensor:
    """The pose ``(1, 4, 4)`` of a head that looks into the camera from the picture's middle."""
    return torch.eye(4, dtype=torch.float32, device=like.device)[None]


def mixed_pose(source: Tensor, driver: Tensor, *, size: str = "driver") -> Tensor:
    """The driver's turn and place on the source's proportions, ``(N, 4, 4)``, as the released notebook asks for it.

    ``source`` is ``(1, 4, 4)``, ``driver`` ``(N, 4, 4)``. Both linear parts are split into a rotation after a stretch.
    The result stretches as the source does, times the ratio of the stretches' mean entries, which is to say at the
    driver's size. ``size`` "source" leaves that ratio out and translates last (upstream's ``mix_old``).
    """
    _, own = _polar(source)
    turn, other = _polar(driver)
    place = torch.eye(4, dtype=torch.float64, device=driver.device).repeat(len(driver), 1, 1)
    place[:, :3, 3] = driver[:, :3, 3].double()
    if size == "source":
        mixed = place @ turn @ own
    else:
        ratio = other.mean((1, 2)) / own.mean((1, 2))
        mixed = (ratio[:, None, None] * own) @ turn @ place
    # The product's last row is no longer 0 0 0 1, and its inverse would be another one.
    upper = mixed[:, :3].to(driver.dtype)
    return torch.cat([upper, _last_row(upper)], dim=1)


def _last_row(upper: Tensor) -> Tensor:
    return upper.new_tensor([0.0, 0, 0, 1]).expand(len(upper), 1, 4)


def _polar(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation and stretch ``(N, 4, 4)``, float64, of poses without their translations."""
    linear = theta.double().clone()
    linear[:, :3, 3] = 0
    left, values, right = torch.linalg.svd(linear)
    return left @ right, right.mT @ torch.diag_embed(values) @ right


def volume_grid(like: Tensor) -> Tensor:
    """Homogeneous places ``(D * H * W, 4)`` of a volume's cells, from edge to edge, in the order x, y, z, 1.

    All sampling here is without corner alignment, so that this grid gives not quite the volume itself. It is what the
    network was trained with.
    """
    z, y, x = torch.meshgrid(
        *(torch.linspace(-1, 1, steps, device=like.device) for steps in (DEPTH, SIZE, SIZE)), indexing="ij"
    )
    return torch.stack([x, y, z, torch.ones_like(x)], dim=-1).view(-1, 4)


def turned_grid(matrices: Tensor) -> Tensor:
    """The volume's cells put through ``(N, 4, 4)``: sampling places ``(N, 16, 64, 64, 3)``."""
    places = volume_grid(matrices) @ matrices[:, :3].mT
    return places.view(-1, DEPTH, SIZE, SIZE, 3)


def into_canonical(theta: Tensor) -> Tensor:
    """Sampling places that bring a portrait's volume from its pose into the canonical one."""
    return turned_grid(torch.linalg.inv(theta))


def sample_volume(volume: Tensor, places: Tensor) -> Tensor:
    """``(N, 96, 16, 64, 64)`` read at ``(N, 16, 64, 64, 3)``, zero outside."""
    # align_corners=False is what upstream's unset option means in today's torch, and gave the goldens.
    return F.grid_sample(volume, places, mode="bilinear", padding_mode="zeros", align_corners=False)


def face_crop(pictures: Tensor, theta: Tensor) -> Tensor:
    """The faces ``(N, 3, 128, 128)`` of heads with the poses ``(N, 4, 4)``: the middle half of the canonical square."""
    flat = torch.linalg.inv(theta)[:, [0, 1, 3]][:, :, [0, 1, 3]]
    line = torch.linspace(-1, 1, CROP, device=theta.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    square = torch.stack([x / 2, y / 2, torch.ones_like(x)], dim=-1).view(-1, 3)
    places = (square @ flat[:, :2].mT).view(-1, CROP, CROP, 2)
    return F.grid_sample(pictures, places, mode="bilinear", padding_mode="zeros", align_corners=False)


def pose_between(source: Tensor, driver: Tensor, strength: float) -> Tensor:
    """``strength`` of the way from the pose ``source`` ``(1, 4, 4)`` to ``driver`` ``(N, 4, 4)``; beyond 1 further on.

    Turns go along the shortest way, places in a straight line. Size and proportions stay between the two: they are no
    motion.
    """
    (turn, own), (goal, other) = _polar(source), _polar(driver)
    between = turn @ _power((turn.mT @ goal)[:, :3, :3], strength)
    stretch = own + min(strength, 1.0) * (other - own)
    (start,), ends = (_place(theta) for theta in (source, driver))
    moved = from_parts((between @ stretch)[:, :3, :3], start + strength * (ends - start))
    return moved.to(driver.dtype)


def _place(theta: Tensor) -> Tensor:
    """The translation ``(N, 3)`` that comes first."""
    return torch.linalg.solve(theta[:, :3, :3].double(), theta[:, :3, 3].double())


def _power(turns: Tensor, exponent: float) -> Tensor:
    """Rotations ``(N, 3, 3)`` about the same axes by ``exponent`` times the angles, as ``(N, 4, 4)``."""
    skew = (turns - turns.mT) / 2
    sine = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1).norm(dim=1)
    angle = torch.atan2(sine, (turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    axis = skew / sine.clamp(min=1e-12)[:, None, None]
    made = torch.eye(4, dtype=turns.dtype, device=turns.device).repeat(len(turns), 1, 1)
    made[:, :3, :3] = torch.linalg.matrix_exp(exponent * angle[:, None, None] * axis)
    return made
