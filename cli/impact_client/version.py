"""Which version of this project the package is of."""

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("impact-cli")
    except metadata.PackageNotFoundError:  # run from a folder
        return "0"
