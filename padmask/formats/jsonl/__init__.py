"""JSON Lines: one object per line."""
