"""Hash passwords as keystone does: a JSON list on standard input, the hashes on standard output."""

import json
import sys

import bcrypt

ROUNDS = 4
"""The least that bcrypt allows: these passwords are random, and logins should be quick."""

if __name__ == "__main__":
    hashes = [bcrypt.hashpw(each.encode(), bcrypt.gensalt(ROUNDS)).decode() for each in json.load(sys.stdin)]
    json.dump(hashes, sys.stdout)
