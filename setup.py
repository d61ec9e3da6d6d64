"""What pyproject.toml cannot say: a wheel carries the built-in weights, the examples and pyproject.toml itself.

They stay where they are in the repository. fedgai/shipped.py and federation/bundle.py find them in either place.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = {
    "fedgai/weights": ["weights/*.safetensors", "weights/*.json", "weights/README.md"],
    "fedgai/examples": ["examples/*.jpg", "examples/*.json"],
    "federation": ["pyproject.toml"],  # the app that Flower ships is built with it
}


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder, patterns in SHIPPED.items():
            target = Path(self.build_lib, folder)
            target.mkdir(parents=True, exist_ok=True)
            for pattern in patterns:
                for file in sorted(Path().glob(pattern)):
                    self.copy_file(str(file), str(target / file.name))


setup(cmdclass={"build_py": BuildPy})
