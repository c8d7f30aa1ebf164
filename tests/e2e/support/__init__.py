"""What the scenarios of tests/e2e need to run the real binary against real peers."""
