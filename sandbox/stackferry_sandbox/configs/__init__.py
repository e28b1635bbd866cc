"""The configuration files of one cloud, as data and as text."""

from stackferry_sandbox.configs import cinder, glance, keystone, neutron, nova, placement
from stackferry_sandbox.configs.common import CloudSettings, Sections

__all__ = ["FILES", "CloudSettings", "as_ini", "config_files"]

FILES = {
    "keystone.conf": keystone.sections,
    "glance-api.conf": glance.sections,
    "placement.conf": placement.sections,
    "neutron.conf": neutron.sections,
    "nova.conf": nova.sections,
    "cinder.conf": cinder.sections,
}


def config_files(cloud: CloudSettings) -> dict[str, Sections]:
    """Every configuration file of a cloud: file name, section, option, value."""
    return {file: sections(cloud) for file, sections in FILES.items()}


def as_ini(sections: Sections) -> str:
    """The text that oslo.config reads."""

    def text(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return "\n".join(
        f"[{section}]\n" + "".join(f"{option} = {text(value)}\n" for option, value in options.items())
        for section, options in sections.items()
    )
