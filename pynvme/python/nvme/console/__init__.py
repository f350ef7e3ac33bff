"""python -m nvme console: what a running test does, live in a terminal."""
