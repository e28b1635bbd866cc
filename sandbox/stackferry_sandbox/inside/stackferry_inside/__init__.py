"""Code that runs in the clouds' own environment, beside the OpenStack services.

It is found through PYTHONPATH and imports nothing of the package around it.
"""
