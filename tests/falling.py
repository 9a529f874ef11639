"""A loss for tests of what surrounds training."""


def falling():
    """A loss that gets smaller every time it is asked for, whatever is learned."""
    left = [100.0]

    def loss(flow, reference, frames, magnified, alpha, *, region=None):
        left[0] *= 0.99
        return type("Loss", (), {"total": left[0] * (1 + 1e-3 * magnified.mean())})()

    return loss
