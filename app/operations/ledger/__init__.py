"""The one posting path, the day-end that rolls the buckets, and the verification of the books."""
