# SPDX-License-Identifier: Apache-2.0
"""ARFlow (PWC-lite): optical flow by warping and correlating a pyramid of features.

Liu et al., Learning by Analogy: Reliable Supervision from Transformations for Unsupervised Optical Flow Estimation,
CVPR 2020. Written from the paper and from measured facts about the official network.
"""
