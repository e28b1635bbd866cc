"""Conversion hosts: servers in each cloud that run our agents; made, listed, emptied and deleted.

They're made with openstacksdk and the operator's own ``clouds.yaml``, as every other server of the operator is.
"""
