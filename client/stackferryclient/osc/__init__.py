"""``openstack ferry``: Stackferry's commands in OpenStack's own client."""
