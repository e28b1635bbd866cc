"""Lets ``python -m stackferry_sandbox`` do what ``stackferry-sandbox`` does."""

from stackferry_sandbox.cli import main

if __name__ == "__main__":
    main()
