# SPDX-License-Identifier: Apache-2.0
"""The pack's logger: remarks and warnings for the user, shown on stderr by the command line and in ComfyUI's log."""

import logging

log = logging.getLogger("magplus")
