"""`requirements*.txt`: what installs today installs in a year."""

from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

from emulator.function import ROOT


def locked(file: str) -> dict[str, Requirement]:
    lines = (ROOT / file).read_text().splitlines()
    pins = (Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #")
    return {pin.name: pin for pin in pins if pin.marker is None or pin.marker.evaluate()}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements/dev.txt"])
def test_a_pin_names_the_extras_that_are_asked_for(file: str) -> None:
    """Without them pip, told to check hashes, refuses the pin once a newer version is out."""
    pins = locked(file)
    for pin in pins.values():
        for text in requires(pin.name) or ():
            asked = Requirement(text)
            chosen = [{"extra": each} for each in pin.extras or {""}]
            wanted = asked.marker is None or any(map(asked.marker.evaluate, chosen))
            if wanted and asked.name in pins:
                assert asked.extras <= pins[asked.name].extras, f"{pin.name} asks for {asked}"
