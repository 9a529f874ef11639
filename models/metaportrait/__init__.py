# SPDX-License-Identifier: Apache-2.0
"""MetaPortrait: a portrait warped and refined after line drawings of 669 face landmarks, and its super-resolution.

Zhang et al., MetaPortrait: Identity-Preserving Talking Head Generation with Fast Personalized Adaptation, CVPR 2023.
Written from the paper and from measured facts about the released networks.
"""
