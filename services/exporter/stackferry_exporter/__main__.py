"""``python -m stackferry_exporter``."""

from stackferry_runtime.services.launcher import launch

if __name__ == "__main__":
    from .settings import Settings

    launch("stackferry_exporter.service:Exporter", Settings)
