# SPDX-License-Identifier: Apache-2.0
"""KeyFace: a small generator of this pack that follows ten keypoints, trained on drawn faces.

Of the kind of FOMM (Siarohin et al., NeurIPS 2019), in its own form and small enough to come with the pack: the honest
stand-in for a released generator where a learned response is wanted and no weights are at hand.
"""
