"""FSRT's decoder in its plainest form, with the work that the official code does for each frame.

Whole queries, positions encoded for every pixel, keys and values of the scene computed again for every chunk, the
attention's scores written out. A benchmark replaces one of the last two at a time.
"""

import torch
from magplus.models.fsrt.attention import HEAD_CHANNELS, by_head
from magplus.models.fsrt.encoding import PIXEL_OCTAVES, encode, encode_keypoints, pixel_centres


def explicit(queries, keys, values):
    """Attention as it is written: scores, softmax, sum."""
    scores = queries @ keys.transpose(-1, -2) / HEAD_CHANNELS**0.5
    return (torch.softmax(scores, dim=-1) @ values).transpose(1, 2).flatten(2)


def colours(decoder, scene, keypoints, expression, size, *, chunk, pixels=None, attention=explicit, memory=None):
    """Colours ``(P, 3)`` of ``pixels`` (all by default), not clamped."""
    pixels = torch.arange(size * size) if pixels is None else pixels
    centres = pixel_centres(size, scene.device)
    places = encode(torch.stack([centres[pixels % size], centres[pixels // size]], dim=-1), PIXEL_OCTAVES)
    around = (encode_keypoints(keypoints), expression)
    of_keypoints, of_expression = (value.expand(len(pixels), -1) for value in around)
    queries = torch.cat([of_keypoints, places, of_expression], dim=1)
    return torch.cat([_chunk(decoder, scene, part[None], attention, memory)[0] for part in queries.split(chunk)])


def _chunk(decoder, scene, queries, attention, memory):
    stream = decoder.allocation_transformer.input_mlp(queries)
    for index, (cross, forward) in enumerate(decoder.allocation_transformer.transformer.layers):
        keys, values = cross.fn.keys_and_values(scene) if memory is None else memory[index]
        seen = attention(by_head(cross.fn.to_q(cross.norm(stream))), keys, values)
        stream = stream + cross.fn.to_out(seen)
        stream = stream + forward.fn(forward.norm(stream))
    return decoder.render_mlp(stream)
