"""Rules over data, and the samples that proofs use."""
