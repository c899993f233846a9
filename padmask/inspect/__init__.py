"""What `padmask inspect` shows, as data."""
