# SPDX-License-Identifier: Apache-2.0
"""RAFT: optical flow by repeated look-ups in the correlations of all pairs of pixels.

Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020; the large model. Written from the
paper and from measured facts about the official network.
"""
