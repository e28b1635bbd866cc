"""Start cinder's volume service and scheduler in the process of its API."""

from typing import Any

from cinder import context, objects, service
from cinder.common import constants
from oslo_config import cfg


def start(host_option: Any) -> list[Any]:
    """Start the back ends, then the scheduler, which would else wait a minute for the first of them."""
    backends = [start_backend(name, host_option) for name in cfg.CONF.enabled_backends]
    return [*backends, start_scheduler()]


def start_backend(name: str, host_option: Any) -> Any:
    """Start the volume service of one back end."""
    cfg.CONF.register_opt(host_option, group=name)
    worker = service.Service.create(
        host=f"{cfg.CONF.host}@{name}",
        service_name=name,
        binary=constants.VOLUME_BINARY,
        coordination=True,
    )
    worker.start()
    return worker


def start_scheduler() -> Any:
    """Start the scheduler, with a heartbeat of its own.

    cinder keeps "the" id of the service in a class attribute. With two services in one process it has
    to remain the volume service's, so the scheduler reports under the id that it got itself.
    """
    volume_id = service.Service.service_id
    worker = service.Service.create(binary="cinder-scheduler")

    def report_state() -> None:
        record = objects.Service.get_by_id(context.get_admin_context(), worker.origin_service_id)
        record.report_count += 1
        record.save(retry=False)

    worker.report_state = report_state
    worker.start()
    service.Service.service_id = volume_id
    return worker
