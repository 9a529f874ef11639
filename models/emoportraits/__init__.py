# SPDX-License-Identifier: Apache-2.0
"""EMOPortraits: a portrait as a volume of features, deformed by 128 numbers of expression and turned by a head pose.

Drobyshev et al., EMOPortraits: Emotion-enhanced Multimodal One-shot Head Avatars, CVPR 2024. Written from the paper and
from measured facts about the released stage-1 model.
"""
