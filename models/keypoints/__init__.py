# SPDX-License-Identifier: Apache-2.0
"""What FOMM and FSRT have in common: the keypoint detector, and how a driver's motion becomes the portrait's."""
