# SPDX-License-Identifier: Apache-2.0
"""The one exception a user is meant to read."""


class MagPlusError(ValueError):
    """Something the user gave cannot be used. The message says what happened, where, and what to do.

    The command line prints the message alone (exit code 2), the nodes show it as it is; every other exception is a
    fault of the pack and keeps its traceback.
    """
