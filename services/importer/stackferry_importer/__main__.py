"""``python -m stackferry_importer``."""

from stackferry_runtime.services.launcher import launch

if __name__ == "__main__":
    from .settings import Settings

    launch("stackferry_importer.service:Importer", Settings)
