"""``python -m stackferry_transfer``."""

from .agent import main

if __name__ == "__main__":
    main()
