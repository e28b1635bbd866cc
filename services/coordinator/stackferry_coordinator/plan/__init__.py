"""What a migration is: its steps, what they wait for, and what becomes of a server and its disks. Pure."""
