"""Package static/ as trainhub/static: setup.cfg can find packages or map a folder, not both."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["trainhub", "trainhub.*"]), "trainhub.static"],
    package_dir={"trainhub.static": "static"},
)
