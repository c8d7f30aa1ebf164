"""Waiting for what should happen, never longer than a limit."""

import os
import time

SANITIZED = os.environ.get("SALLYPORT_SANITIZE", "") == "address"

# Seconds that anything may take on a busy machine before a test gives up.
PATIENCE = 30 if SANITIZED else 10


def wait_until(look, what, timeout=PATIENCE, every=0.02):
    """Calls `look` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        got = look()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}, in vain; last seen: {got!r}")
        time.sleep(every)
