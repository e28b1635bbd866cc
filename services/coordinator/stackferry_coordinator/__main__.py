"""``python -m stackferry_coordinator``."""

from stackferry_runtime.services.launcher import launch

if __name__ == "__main__":
    from .settings import Settings

    launch("stackferry_coordinator.service:Coordinator", Settings)
