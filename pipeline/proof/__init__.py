# SPDX-License-Identifier: Apache-2.0
"""Evidence: drawn faces with exactly known motion, how a generator answers to it, and whether magnifying helps."""
