"""FSRT's decoder in its plainest form, with the work that the official code does for each frame.

Whole queries, positions encoded for every pixel, keys and values of the scene computed again for every chunk, the
attention's scores written out. It shares nothing but weights with the decoder of the pack.
"""

import torch
from magplus.models.fsrt.attention import HEADS
from magplus.models.fsrt.encoding import encode_keypoints, encode_pixels


def colours(decoder, scene, keypoints, expression, size, *, chunk, pixels=None):
    """Colours ``(P, 3)`` of ``pixels`` (all by default), not clamped."""
    places = encode_pixels(size, size, scene.device).flatten(1).T
    places = places if pixels is None else places[pixels]
    return torch.cat([_chunk(decoder, scene, keypoints, expression, part) for part in places.split(chunk)])


def _chunk(decoder, scene, keypoints, expression, places):
    around = (encode_keypoints(keypoints), expression)
    of_keypoints, of_expression = (value.expand(len(places), -1) for value in around)
    stream = decoder.allocation_transformer.input_mlp(torch.cat([of_keypoints, places, of_expression], dim=1))
    for attention, forward in decoder.allocation_transformer.transformer.layers:
        stream = stream + _attend(attention.fn, attention.norm(stream), scene[0])
        stream = stream + forward.fn(forward.norm(stream))
    return decoder.render_mlp(stream)


def _attend(attention, queries, scene):
    keys, values = attention.to_kv(scene).chunk(2, dim=-1)
    q, k, v = (t.unflatten(1, (HEADS, -1)).transpose(0, 1) for t in (attention.to_q(queries), keys, values))
    weights = torch.softmax(q @ k.transpose(1, 2) / 8, dim=-1)
    return attention.to_out((weights @ v).transpose(0, 1).flatten(1))
