# SPDX-License-Identifier: Apache-2.0
"""FlowMag: a U-Net that redraws a frame with its motion enlarged, told the factor as a code.

Pan, Geng and Owens, Self-Supervised Motion Magnification by Backpropagating Through Optical Flow, NeurIPS 2023. Written
from the paper and from measured facts about the official networks.
"""
