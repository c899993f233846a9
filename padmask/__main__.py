"""`python -m padmask`."""

from padmask.cli import main

if __name__ == "__main__":
    main()
