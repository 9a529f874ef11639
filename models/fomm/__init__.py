# SPDX-License-Identifier: Apache-2.0
"""First Order Motion Model: a generator moved by ten keypoints and their local affine maps.

Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019. Written from the paper and from measured
facts about the released face checkpoints.
"""
