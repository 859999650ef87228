"""Benchmarks, each with a yardstick measured in the same run."""
