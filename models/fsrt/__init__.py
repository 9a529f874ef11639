# SPDX-License-Identifier: Apache-2.0
"""FSRT, the Facial Scene Representation Transformer, written from a description of it alone (clean room)."""
