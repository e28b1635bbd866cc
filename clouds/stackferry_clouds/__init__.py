"""Reads and writes clouds with openstacksdk: views, finding, comparing, making, and actions on servers and disks."""
