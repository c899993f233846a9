"""Rules for data, and samples of data for proofs."""
